// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a node answers to a frame that it refuses, as etherparse builds it.

use super::{Frame, MACS, icmp};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header,
    PacketBuilder, PacketBuilderStep, icmpv4::DestUnreachableHeader, icmpv6::DestUnreachableCode,
};
use std::net::IpAddr;

impl Frame {
    /// A reset for it: with this sequence number, or else one that acknowledges up to a number.
    pub fn reset(&self, numbers: Reset) -> Vec<u8> {
        let answer = self.sent_by_service();
        let (source, destination) = (self.destination.port(), self.source.port());
        let answer = match numbers {
            Reset::At(sequence) => answer.tcp(source, destination, sequence, 0).rst(),
            Reset::After(number) => answer.tcp(source, destination, 0, 0).rst().ack(number),
        };
        written(|bytes| answer.write(bytes, &[]))
    }

    /// An ICMP error for it that says that nobody serves its port.
    pub fn port_unreachable(&self) -> Vec<u8> {
        let bytes = self.bytes();
        let answer = self.sent_by_service();
        if self.source.is_ipv4() {
            let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
            let answer = answer.icmpv4(kind);
            return written(|into| answer.write(into, &bytes[14..42]));
        }
        let kind = Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port);
        let answer = answer.icmpv6(kind);
        written(|into| answer.write(into, &bytes[14..62]))
    }

    /// A datagram back to its sender with these bytes, from where it was sent to.
    pub fn datagram_back(&self, bytes: &[u8]) -> Vec<u8> {
        let (source, destination) = (self.destination.port(), self.source.port());
        let answer = self.sent_by_service().udp(source, destination);
        written(|into| answer.write(into, bytes))
    }

    /// Ethernet and IP headers of a packet back to its sender.
    fn sent_by_service(&self) -> PacketBuilderStep<IpHeaders> {
        let [client, node] = MACS;
        let ethernet = PacketBuilder::ethernet2(node, client);
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(client), IpAddr::V4(service)) => {
                let header = Ipv4Header {
                    dont_fragment: true,
                    time_to_live: 64,
                    source: service.octets(),
                    destination: client.octets(),
                    ..Ipv4Header::default()
                };
                ethernet.ip(IpHeaders::Ipv4(header, Ipv4Extensions::default()))
            }
            (IpAddr::V6(client), IpAddr::V6(service)) => {
                let header = Ipv6Header {
                    hop_limit: 64,
                    source: service.octets(),
                    destination: client.octets(),
                    ..Ipv6Header::default()
                };
                ethernet.ip(IpHeaders::Ipv6(header, Ipv6Extensions::default()))
            }
            _ => unreachable!("one family a frame"),
        }
    }
}

/// An echo request with some bytes.
pub fn echo_request(source: IpAddr, destination: IpAddr, bytes: &[u8]) -> Frame {
    let kind = if source.is_ipv4() { 8 } else { 128 };
    let request = icmp([kind, 0], source, destination);
    request.icmp_rest([0, 7, 0, 9]).payload(bytes)
}

/// Its answer, from the station that it went to.
pub fn echo_reply(source: IpAddr, destination: IpAddr, bytes: &[u8]) -> Frame {
    let kind = if source.is_ipv4() { 0 } else { 129 };
    let reply = icmp([kind, 0], source, destination);
    Frame {
        is_answer: true,
        ..reply.icmp_rest([0, 7, 0, 9]).payload(bytes)
    }
}

/// Numbers of a reset (RFC 9293, section 3.10.7.1).
#[derive(Clone, Copy, Debug)]
pub enum Reset {
    /// Its sequence number, where the refused segment has acknowledged one.
    At(u32),
    /// What it acknowledges, otherwise.
    After(u32),
}

fn written<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("memory takes every byte");
    bytes
}
