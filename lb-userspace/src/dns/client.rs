// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks a name server one question, for people who want to see the answer.

use super::forward::{is_answer, with_random_id};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name as DomainName, Record, RecordType},
};
use serde::Serialize;
use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

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

/// Asks by UDP, and by TCP if the answer did not fit.
pub fn ask(server: SocketAddr, name: &DomainName, kind: RecordType) -> io::Result<Answer> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(name.clone(), kind));
    let query = with_random_id(&message.to_vec().map_err(io::Error::other)?)?;
    let answer = by_datagram(server, &query)?;
    let read = |bytes: &[u8]| Message::from_vec(bytes).map_err(io::Error::other);
    let mut answer = read(&answer)?;
    if answer.metadata.truncation {
        answer = read(&by_connection(server, &query)?)?;
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

/// Asks for one name after the other, until one has what is asked for; all answers.
pub fn search(
    server: SocketAddr,
    names: &[DomainName],
    kind: RecordType,
) -> io::Result<Vec<Answer>> {
    let mut tried = Vec::new();
    for name in names {
        let answer = ask(server, name, kind).map_err(or_silence)?;
        let is_last = !answer.answers.is_empty();
        tried.push(answer);
        if is_last {
            break;
        }
    }
    Ok(tried)
}

/// Time that is up reads as if something were missing.
fn or_silence(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {PATIENCE:?}"),
        ),
        _ => error,
    }
}

/// What programs get of that: the answer that has something in it, else the first one.
pub fn best(tried: &[Answer]) -> Option<&Answer> {
    let found = tried.iter().find(|answer| !answer.answers.is_empty());
    found.or(tried.first())
}

fn by_datagram(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(query)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer)?;
        let answer = buffer.get(..length).unwrap_or_default();
        if is_answer(query, answer) {
            return Ok(answer.to_vec());
        }
    }
}

fn by_connection(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    if is_answer(query, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::other("what came back is no answer"))
    }
}

/// As `dig` spells the codes.
fn status(message: &Message) -> String {
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
            data: record.data.to_string(),
        }
    }
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
