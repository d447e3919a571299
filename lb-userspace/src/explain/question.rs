// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked: who dials what, and by which packet.

use crate::maps::Frontend;
use etherparse::{
    IpHeaders, IpNumber, PacketBuilder, PacketBuilderStep, err::packet::BuildVecWriteError,
};
use lb_common::wire::protocol::{SCTP, TCP, UDP};
use std::{
    fmt,
    net::{AddrParseError, IpAddr, SocketAddr},
};

/// Somebody asks for what no packet can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// No address and port.
    #[error(
        "`{text}` is no address and port; write one such as 10.1.0.5:40000, or [fd00:1::5]:40000 \
         for IPv6"
    )]
    End {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        cause: AddrParseError,
    },
    /// No protocol.
    #[error("`{0}` does not say by which protocol; write it as 10.96.0.10:80/TCP")]
    NoProtocol(String),
    /// A protocol that Services do not have.
    #[error("`{0}`: a Service's protocol is TCP, UDP or SCTP; write it as 10.96.0.10:80/TCP")]
    Protocol(String),
    /// Two families.
    #[error(
        "{client} and {dialled} are an IPv4 and an IPv6 address, and no packet has both; give \
         two of one family"
    )]
    Families {
        /// Who dials.
        client: SocketAddr,
        /// What it dials.
        dialled: Frontend,
    },
    /// Only TCP has a beginning that a segment shows.
    #[error("--established is about TCP's segments, and {0} is not TCP; leave it out")]
    Established(Frontend),
}

/// Who dials what, and by which packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    client: SocketAddr,
    dialled: Frontend,
    is_established: bool,
    is_from_outside: bool,
}

impl Question {
    /// A client's packet that opens a connection or, of TCP, is in the middle of one.
    pub fn new(
        client: SocketAddr,
        dialled: Frontend,
        is_established: bool,
    ) -> Result<Self, BadQuestion> {
        if client.is_ipv4() != dialled.address.is_ipv4() {
            return Err(BadQuestion::Families { client, dialled });
        }
        if is_established && dialled.protocol != TCP {
            return Err(BadQuestion::Established(dialled));
        }
        Ok(Self {
            client,
            dialled,
            is_established,
            is_from_outside: false,
        })
    }

    /// The same of a client whose packets come in by an uplink.
    #[must_use]
    pub fn from_outside(self) -> Self {
        Self {
            is_from_outside: true,
            ..self
        }
    }

    /// Whether the packet comes in by an uplink.
    pub fn is_from_outside(&self) -> bool {
        self.is_from_outside
    }

    /// Who dials.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// What it dials.
    pub fn dialled(&self) -> Frontend {
        self.dialled
    }

    /// Who sends to whom.
    pub fn ends(&self) -> [SocketAddr; 2] {
        let dialled = SocketAddr::new(self.dialled.address, self.dialled.port);
        [self.client, dialled]
    }

    /// The shortest frame of this packet.
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What can fail is a payload that is too long.
        let _built: Result<(), BuildVecWriteError> = self.build(&mut bytes);
        bytes
    }

    fn build(&self, into: &mut Vec<u8>) -> Result<(), BuildVecWriteError> {
        // Two stations of the locally administered kind: no group has either (IEEE 802).
        let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let packet = match (self.client.ip(), self.dialled.address) {
            (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from.octets(), to.octets(), HOPS),
            (IpAddr::V6(from), IpAddr::V6(to)) => link.ipv6(from.octets(), to.octets(), HOPS),
            // `new` has refused that.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Ok(()),
        };
        let (from, to) = (self.client.port(), self.dialled.port);
        match self.dialled.protocol {
            TCP if self.is_established => {
                let segment = packet.tcp(from, to, SEQUENCE, WINDOW).ack(SEQUENCE);
                segment.write_to_vec(into, &[])
            }
            TCP => {
                let segment = packet.tcp(from, to, SEQUENCE, WINDOW).syn();
                segment.write_to_vec(into, &[])
            }
            UDP => packet.udp(from, to).write_to_vec(into, &[]),
            _ => init(packet, from, to, into),
        }
    }
}

/// Hops that the packet may make (RFC 1700: the default of 64).
const HOPS: u8 = 64;
const SEQUENCE: u32 = 1;
const WINDOW: u16 = u16::MAX;

/// SCTP's first packet (RFC 9260, sections 3.1 and 3.3.2): a verification tag of zero, and a chunk
/// INIT of 20 bytes. It is never sent, so its checksum may be anything.
fn init(
    packet: PacketBuilderStep<IpHeaders>,
    from: u16,
    to: u16,
    into: &mut Vec<u8>,
) -> Result<(), BuildVecWriteError> {
    let [f0, f1] = from.to_be_bytes();
    let [t0, t1] = to.to_be_bytes();
    let header = [f0, f1, t0, t1, 0, 0, 0, 0, 0, 0, 0, 0];
    let (tag, window, streams, first) = ([0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]);
    let chunk = [[1, 0, 0, 20], tag, window, streams, first].concat();
    packet.write_to_vec(into, IpNumber(SCTP), &[&header[..], &chunk].concat())
}

/// An address and a port, as somebody writes them.
pub fn parse_client(text: &str) -> Result<SocketAddr, BadQuestion> {
    text.parse().map_err(|cause| BadQuestion::End {
        text: text.to_owned(),
        cause,
    })
}

/// An address, a port and a protocol.
pub fn parse_dialled(text: &str) -> Result<Frontend, BadQuestion> {
    let (end, protocol) = text
        .rsplit_once('/')
        .ok_or_else(|| BadQuestion::NoProtocol(text.to_owned()))?;
    let end = parse_client(end)?;
    let protocol = match protocol.to_ascii_uppercase().as_str() {
        "TCP" => TCP,
        "UDP" => UDP,
        "SCTP" => SCTP,
        _ => return Err(BadQuestion::Protocol(text.to_owned())),
    };
    Ok(Frontend::new(end.ip(), end.port(), protocol))
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.dialled.protocol {
            TCP if self.is_established => "a segment in the middle of a connection",
            TCP => "a SYN",
            UDP => "a datagram",
            _ => "an INIT",
        };
        write!(f, "{} -> {}, {what}", self.client, self.dialled)?;
        if self.is_from_outside {
            f.write_str(" from outside")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_questions_are_refused_with_what_would_do() {
        let ask = |client, dialled, is_established| {
            Question::new(
                parse_client(client)?,
                parse_dialled(dialled)?,
                is_established,
            )
        };
        for (client, dialled, is_established, said) in [
            ("10.1.0.5", "10.96.0.1:80/TCP", false, "10.1.0.5:40000"),
            (
                "10.1.0.5:70000",
                "10.96.0.1:80/TCP",
                false,
                "10.1.0.5:40000",
            ),
            ("web:80", "10.96.0.1:80/TCP", false, "`web:80`"),
            ("fd00::5:80", "[fd00::1]:80/TCP", false, "[fd00:1::5]:40000"),
            ("10.1.0.5:1", "10.96.0.1:80", false, "by which protocol"),
            (
                "10.1.0.5:1",
                "10.96.0.1/TCP",
                false,
                "`10.96.0.1` is no address",
            ),
            ("10.1.0.5:1", "10.96.0.1:80/ICMP", false, "TCP, UDP or SCTP"),
            ("10.1.0.5:1", "10.96.0.1:80/", false, "TCP, UDP or SCTP"),
            ("10.1.0.5:1", "[fd00::1]:80/TCP", false, "two of one family"),
            ("10.1.0.5:1", "10.96.0.1:80/UDP", true, "leave it out"),
        ] {
            let error = ask(client, dialled, is_established).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn frames_are_what_the_packet_path_takes_them_for() {
        use lb_common::{family::V4, frame::Frames, parse::parse};
        for (dialled, is_established, opens) in [
            ("10.96.0.1:80/tcp", false, true),
            ("10.96.0.1:80/tcp", true, false),
            ("10.96.0.1:80/udp", false, false),
            ("10.96.0.1:80/sctp", false, false),
        ] {
            let client = parse_client("10.1.0.5:40000").unwrap();
            let dialled = parse_dialled(dialled).unwrap();
            let question = Question::new(client, dialled, is_established).unwrap();
            let (frame, mut frames) = (question.frame(), Frames::new());
            let datagram = &mut frames.narrow.datagram;
            assert_eq!(parse::<V4, _>(frame.as_slice(), datagram), Ok(()));
            assert_eq!(datagram.opens(), opens, "{question}");
            assert_eq!(datagram.end, frame.len(), "{question}");
            assert_eq!(datagram.tuple.destination_port, [0, 80]);
            assert_eq!(datagram.tuple.protocol, dialled.protocol);
        }
    }
}
