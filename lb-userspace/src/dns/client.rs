// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks a name server one question, for people who want to see the answer.

use super::{answer::Transport, forward::exchange};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name as DomainName, RData, Record, RecordType},
};
use serde::Serialize;
use std::{fmt, io, net::SocketAddr, time::Duration};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer, printed as `dig` does.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Who has answered.
    pub server: SocketAddr,
    /// What was asked for.
    pub name: String,
    /// The type that was asked for.
    pub kind: String,
    /// The code, such as `NOERROR`.
    pub status: String,
    /// What the header says, such as `qr aa rd ra`.
    pub flags: String,
    /// The answers.
    pub answers: Vec<Line>,
    /// Who says so, where there is none.
    pub authorities: Vec<Line>,
    /// What will be asked for next.
    pub additionals: Vec<Line>,
    id: u16,
}

/// A record.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Whose it is.
    pub name: String,
    /// How long it may be remembered.
    pub ttl_s: u32,
    /// Its type.
    pub kind: String,
    /// What it says.
    pub data: String,
}

/// Asks for one name after the other, until one has what is asked for; all answers.
pub fn search(
    server: SocketAddr,
    names: &[DomainName],
    kind: RecordType,
) -> io::Result<Vec<Answer>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut tried = Vec::new();
        for name in names {
            let answer = ask(server, name, kind).await?;
            let is_last = !answer.answers.is_empty();
            tried.push(answer);
            if is_last {
                break;
            }
        }
        Ok(tried)
    })
}

/// Asks by UDP, and by TCP if the answer did not fit.
async fn ask(server: SocketAddr, name: &DomainName, kind: RecordType) -> io::Result<Answer> {
    let query = query(name, kind)?;
    let asked = async |transport| {
        let answer = exchange(&query, server, transport, PATIENCE).await?;
        Message::from_vec(&answer).map_err(io::Error::other)
    };
    let mut answer = asked(Transport::Udp).await?;
    if answer.metadata.truncation {
        answer = asked(Transport::Tcp).await?;
    }
    let lines = |records: &[Record]| records.iter().map(Line::from).collect();
    Ok(Answer {
        server,
        name: name.to_ascii(),
        kind: kind.to_string(),
        status: status(&answer),
        flags: flags(&answer),
        answers: lines(&answer.answers),
        authorities: lines(&answer.authorities),
        additionals: lines(&answer.additionals),
        id: answer.metadata.id,
    })
}

/// The question that is sent, but for its id.
pub fn query(name: &DomainName, kind: RecordType) -> io::Result<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(name.clone(), kind));
    message.to_vec().map_err(io::Error::other)
}

/// What programs get of that: the answer that has something in it, else the first one.
pub fn best(tried: &[Answer]) -> Option<&Answer> {
    let found = tried.iter().find(|answer| !answer.answers.is_empty());
    found.or(tried.first())
}

/// As `dig` spells the codes.
pub(super) fn status(message: &Message) -> String {
    match u16::from(message.metadata.response_code) {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        code => format!("RESERVED{code}"),
    }
}

fn flags(message: &Message) -> String {
    let it = &message.metadata;
    let flags = [
        (true, "qr"),
        (it.authoritative, "aa"),
        (it.truncation, "tc"),
        (it.recursion_desired, "rd"),
        (it.recursion_available, "ra"),
    ];
    let set = flags.iter().filter(|(is_set, _)| *is_set);
    set.map(|(_, flag)| *flag).collect::<Vec<_>>().join(" ")
}

impl From<&Record> for Line {
    fn from(record: &Record) -> Self {
        Self {
            name: record.name.to_ascii(),
            ttl_s: record.ttl,
            kind: record.record_type().to_string(),
            data: text(&record.data),
        }
    }
}

/// As zone files have it: texts are quoted, and what is not plain in them is escaped (RFC 1035,
/// section 5.1).
fn text(data: &RData) -> String {
    let RData::TXT(texts) = data else {
        return data.to_string();
    };
    let quoted = texts.txt_data.iter().map(|text| {
        let bytes = text.iter().map(|byte| match byte {
            b'"' | b'\\' => format!("\\{}", char::from(*byte)),
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\{byte:03}"),
        });
        format!("\"{}\"", bytes.collect::<String>())
    });
    quoted.collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            ttl_s,
            kind,
            data,
        } = self;
        write!(f, "{name} {ttl_s} IN {kind} {data}")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            ";; opcode: QUERY, status: {}, id: {}\n;; flags: {}; QUERY: 1, ANSWER: {}, \
             AUTHORITY: {}, ADDITIONAL: {}\n\n;; QUESTION SECTION:\n;{} IN {}",
            self.status,
            self.id,
            self.flags,
            self.answers.len(),
            self.authorities.len(),
            self.additionals.len(),
            self.name,
            self.kind,
        )?;
        for (section, lines) in [
            ("ANSWER", &self.answers),
            ("AUTHORITY", &self.authorities),
            ("ADDITIONAL", &self.additionals),
        ] {
            if !lines.is_empty() {
                writeln!(f, "\n;; {section} SECTION:")?;
            }
            for line in lines {
                writeln!(f, "{line}")?;
            }
        }
        write!(f, "\n;; SERVER: {}", self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::{RData, text};
    use hickory_proto::rr::rdata::TXT;

    #[test]
    fn texts_are_quoted() {
        let data = TXT::from_bytes(vec![b"1.1.0", b"a \"b\" \\ \x07"]);
        let expected = r#""1.1.0" "a \"b\" \\ \007""#;
        assert_eq!(text(&RData::TXT(data)), expected);
    }
}
