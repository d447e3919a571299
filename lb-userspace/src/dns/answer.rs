// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a query's bytes to its answer's.
//!
//! Decides what is answered, refused, handed on or not worth an answer, and how large an answer may
//! be. Pure: the zone is an argument, and it knows no socket.

mod emit;

use self::emit::Set;
use super::zone::{Found, Share, Zone};
use hickory_proto::{
    op::{Edns, Message, Metadata, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name as DomainName, RData, Record, RecordType, rdata::CNAME},
};

/// What everybody takes without EDNS (RFC 1035, section 2.3.4).
const SMALLEST: u16 = 512;
/// What passes every link without fragments, as the resolvers' authors have agreed (DNS flag day
/// 2020); more than that goes by TCP.
const LARGEST: u16 = 1_232;
/// A header, without which there is nobody to answer.
const HEADER: usize = 12;
/// Names that lead to names, at most: more of them are a circle.
const ALIASES: usize = 8;

/// How a query has come, and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// An answer.
    Send(Vec<u8>),
    /// Somebody else has to be asked.
    Ask(Box<Ask>),
    /// No query, or too little of one.
    Ignore,
}

/// A question for somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The query, as it is to be sent but for its id.
    pub query: Vec<u8>,
    /// The answer so far.
    answer: Answer,
    /// Whether a name of ours has led to one that is not; else what comes back is the answer.
    is_begun: bool,
}

/// An answer before it is bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    message: Message,
    /// What its answers end with, if the zone has it.
    set: Option<Set>,
    limit: u16,
}

/// What becomes of a query, by what the zone knows; `asks`: whether there is somebody to ask for
/// what is not in it.
pub fn reply(zone: &Zone, query: &[u8], transport: Transport, asks: bool) -> Reply {
    let Some(header) = query.first_chunk::<HEADER>() else {
        return Reply::Ignore;
    };
    let [id_high, id_low, flags, _, count_high, count_low, ..] = *header;
    // RFC 1035, section 4.1.1: QR, and four bits of OPCODE.
    if flags & 0x80 != 0 {
        return Reply::Ignore;
    }
    let op_code = OpCode::from_u8(flags >> 3 & 0x0f);
    let bare = |code| {
        let id = u16::from_be_bytes([id_high, id_low]);
        let mut message = Message::error_msg(id, op_code, code);
        message.metadata.recursion_desired = flags & 1 != 0;
        Answer::new(message, SMALLEST).send()
    };
    if op_code != OpCode::Query {
        return bare(ResponseCode::NotImp);
    }
    // RFC 9619: a query has one question.
    if u16::from_be_bytes([count_high, count_low]) != 1 {
        return bare(ResponseCode::FormErr);
    }
    let Ok(message) = Message::from_vec(query) else {
        return bare(ResponseCode::FormErr);
    };
    let [question] = &message.queries[..] else {
        return bare(ResponseCode::FormErr);
    };
    let answer = Answer::to(&message, question, transport);
    if message
        .edns
        .as_ref()
        .is_some_and(|edns| edns.version() != 0)
    {
        return answer.with_code(ResponseCode::BADVERS).send();
    }
    let is_ours = matches!(question.query_class, DNSClass::IN | DNSClass::ANY);
    let is_transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
    if !is_ours || is_transfer {
        return answer.with_code(ResponseCode::Refused).send();
    }
    resolve(zone, question, answer, query, asks)
}

fn resolve(zone: &Zone, question: &Query, mut answer: Answer, query: &[u8], asks: bool) -> Reply {
    let kind = question.query_type;
    let mut name = question.name.clone();
    answer.message.metadata.authoritative = true;
    let share = Share {
        first: usize::from(answer.message.metadata.id),
        room: usize::from(answer.limit),
    };
    for aliases in 0..=ALIASES {
        match zone.find(&name, kind, share) {
            Found::Unknown => return answer.with_code(ResponseCode::ServFail).send(),
            Found::Outside if aliases == 0 => {
                if !asks {
                    return answer.with_code(ResponseCode::Refused).send();
                }
                return Reply::Ask(Box::new(Ask {
                    query: query.to_vec(),
                    answer,
                    is_begun: false,
                }));
            }
            Found::Outside => return answer.ask_for(&name, kind, asks),
            found @ (Found::NoName | Found::NoData) => {
                if found == Found::NoName {
                    answer.message.metadata.response_code = ResponseCode::NXDomain;
                }
                answer.message.authorities.push(zone.authority(&name));
                return answer.send();
            }
            Found::Data(data, glue) => {
                let ttl_s = zone.ttl_s();
                answer.set = Some(Set { name, ttl_s, data });
                answer.message.additionals = glue;
                return answer.send();
            }
            Found::Alias(target) => {
                let data = RData::CNAME(CNAME(target.clone()));
                let record = Record::from_rdata(name, zone.ttl_s(), data);
                answer.message.answers.push(record);
                if matches!(kind, RecordType::CNAME | RecordType::ANY) {
                    return answer.send();
                }
                name = target;
            }
        }
    }
    answer.with_code(ResponseCode::ServFail).send()
}

impl Ask {
    /// What is sent if nobody answers.
    pub fn failure(&self) -> Vec<u8> {
        let answer = self.answer.clone();
        emit::bytes(&answer.with_code(ResponseCode::ServFail))
    }

    /// What is sent when somebody has answered this.
    pub fn complete(&self, further: &[u8]) -> Vec<u8> {
        let mut answer = self.answer.clone();
        if !self.is_begun {
            return answer.hand_on(further);
        }
        match Message::from_vec(further) {
            Ok(further) => {
                answer.message.metadata.response_code = further.metadata.response_code;
                answer.message.metadata.truncation = further.metadata.truncation;
                answer.message.answers.extend(further.answers);
                answer.message.authorities.extend(further.authorities);
                emit::bytes(&answer)
            }
            Err(_no_answer) => self.failure(),
        }
    }
}

impl Answer {
    fn new(message: Message, limit: u16) -> Self {
        Self {
            message,
            set: None,
            limit,
        }
    }

    /// An answer without any record, to a query of this question.
    fn to(query: &Message, question: &Query, transport: Transport) -> Self {
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&query.metadata);
        // So `CoreDNS` says as well, whether it forwards or not; stub resolvers expect it.
        message.metadata.recursion_available = true;
        message.queries.push(question.clone());
        let offered = query.edns.as_ref().map(Edns::max_payload);
        if offered.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(LARGEST);
            message.edns = Some(edns);
        }
        let limit = match transport {
            Transport::Udp => offered.unwrap_or(SMALLEST).clamp(SMALLEST, LARGEST),
            Transport::Tcp => u16::MAX,
        };
        Self::new(message, limit)
    }

    fn with_code(mut self, code: ResponseCode) -> Self {
        self.message.answers.clear();
        self.set = None;
        self.message.metadata.authoritative = false;
        self.message.metadata.response_code = code;
        self
    }

    /// Goes on with a name that is not ours, if there is somebody to ask.
    fn ask_for(self, name: &DomainName, kind: RecordType, asks: bool) -> Reply {
        if !asks {
            return self.send();
        }
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.queries.push(Query::query(name.clone(), kind));
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST);
        query.edns = Some(edns);
        match query.to_vec() {
            Ok(query) => Reply::Ask(Box::new(Ask {
                query,
                answer: self,
                is_begun: true,
            })),
            Err(_too_long) => self.with_code(ResponseCode::ServFail).send(),
        }
    }

    /// What somebody else has answered, under the client's id, and within the limit.
    fn hand_on(mut self, further: &[u8]) -> Vec<u8> {
        if further.len() > usize::from(self.limit) {
            self.message.metadata.authoritative = false;
            self.message.metadata.truncation = true;
            return emit::bytes(&self);
        }
        let mut answer = further.to_vec();
        if let Some(id) = answer.first_chunk_mut() {
            *id = self.message.metadata.id.to_be_bytes();
        }
        answer
    }

    fn send(self) -> Reply {
        match emit::bytes(&self) {
            // It did not even fit without records: a name that leads to one too long, say.
            bytes if bytes.is_empty() => Reply::Ignore,
            bytes => Reply::Send(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
