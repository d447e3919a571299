// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for all packets: checksum laws, and that a rewrite undone is the packet as it was.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use lb_common::csum::{Change, add_to};
use lb_common::family::{Family, V4, V6};
use lb_common::parse::{Datagram, parse};
use lb_common::rewrite;
use lb_common::wire::Tuple;
use proptest::prelude::*;
use zerocopy::FromZeros as _;

/// RFC 1071, literally: the sum of all words, folded, complemented.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [a, b] => u32::from(u16::from_ne_bytes([a, b])),
        [a] => u32::from(u16::from_ne_bytes([a, 0])),
        _ => unreachable!("chunks of two"),
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

proptest! {
    #[test]
    fn correcting_equals_computing_anew(
        mut bytes in proptest::collection::vec(any::<u8>(), 24..100),
        new in any::<[u8; 16]>(),
    ) {
        bytes.truncate(bytes.len() & !1);
        let before = checksum(&bytes);
        let old: [u8; 16] = bytes[..16].try_into().expect("long enough");
        bytes[..16].copy_from_slice(&new);
        let change = Change::between(&old, &new);
        let corrected = u16::from_ne_bytes(add_to(before.to_ne_bytes(), change));
        // Zero has two forms in one's complement; a checksum over something may take either.
        let anew = checksum(&bytes);
        prop_assert!(corrected == anew || (corrected == 0xffff && anew == 0));
    }

    #[test]
    fn zeros_behind_bytes_add_nothing(bytes in any::<[u8; 23]>()) {
        let mut padded = [0; 24];
        padded[..23].copy_from_slice(&bytes);
        let (some, all) = (Change::of_some(&bytes), Change::of(&padded));
        let check = [7, 9];
        let changed = add_to(check, some);
        prop_assert_eq!(changed, add_to(check, all));
        prop_assert_eq!(add_to(changed, some.undone()), check);
    }

    #[test]
    fn parsing_arbitrary_bytes_never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..120)
    ) {
        let _ = parse::<V4, _>(bytes.as_slice(), &mut Datagram::new_zeroed());
        let _ = parse::<V6, _>(bytes.as_slice(), &mut Datagram::new_zeroed());
    }

    #[test]
    fn a_rewrite_is_right_and_undone_exactly(
        is_tcp in any::<bool>(),
        from in any::<([u8; 16], [u8; 16], u16, u16)>(),
        to in any::<([u8; 16], [u8; 16], u16, u16)>(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        rewrite_and_back::<V4>(is_tcp, from, to, &payload)?;
        rewrite_and_back::<V6>(is_tcp, from, to, &payload)?;
    }
}

type Ends = ([u8; 16], [u8; 16], u16, u16);

fn rewrite_and_back<F: Family>(
    is_tcp: bool,
    from: Ends,
    to: Ends,
    payload: &[u8],
) -> Result<(), TestCaseError> {
    let mut frame = frame::<F>(is_tcp, from, payload);
    let before = frame.clone();
    let mut datagram = Datagram::new_zeroed();
    parse::<F, _>(frame.as_slice(), &mut datagram).expect("a good packet");
    let back = datagram.tuple;
    let to = tuple::<F>(to, back.protocol);
    rewrite::apply::<F, _>(frame.as_mut_slice(), &datagram, &to).expect("room");
    assert_checksums(&frame);
    let mut there = Datagram::new_zeroed();
    parse::<F, _>(frame.as_slice(), &mut there).expect("still a good packet");
    prop_assert_eq!(there.tuple, to);
    rewrite::apply::<F, _>(frame.as_mut_slice(), &there, &back).expect("room");
    prop_assert_eq!(frame, before);
    Ok(())
}

fn tuple<F: Family>((source, destination, a, b): Ends, protocol: u8) -> Tuple<F::Address> {
    Tuple {
        source: F::narrow(source),
        destination: F::narrow(destination),
        source_port: a.to_be_bytes(),
        destination_port: b.to_be_bytes(),
        protocol,
        pad: [0; 3],
    }
}

fn frame<F: Family>(is_tcp: bool, (source, destination, a, b): Ends, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let network = if F::ETHERTYPE == V4::ETHERTYPE {
        link.ipv4(V4::narrow(source), V4::narrow(destination), 64)
    } else {
        link.ipv6(source, destination, 64)
    };
    let mut frame = Vec::new();
    if is_tcp {
        network
            .tcp(a, b, 7, 512)
            .ack(9)
            .write(&mut frame, payload)
            .expect("it fits");
    } else {
        network
            .udp(a, b)
            .write(&mut frame, payload)
            .expect("it fits");
    }
    frame
}

/// By a library that shares no code with ours.
fn assert_checksums(frame: &[u8]) {
    let packet = SlicedPacket::from_ethernet(frame).expect("a packet");
    let transport = packet.transport.as_ref().expect("TCP or UDP");
    let (found, computed) = match packet.net.as_ref().expect("IP") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            match transport {
                TransportSlice::Tcp(tcp) => (
                    tcp.checksum(),
                    tcp.calc_checksum_ipv4(header.source, header.destination),
                ),
                TransportSlice::Udp(udp) => {
                    let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
                    (udp.checksum(), sum)
                }
                _ => panic!("neither TCP nor UDP"),
            }
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            match transport {
                TransportSlice::Tcp(tcp) => (
                    tcp.checksum(),
                    tcp.calc_checksum_ipv6(header.source, header.destination),
                ),
                TransportSlice::Udp(udp) => {
                    let sum = udp.to_header().calc_checksum_ipv6(&header, udp.payload());
                    (udp.checksum(), sum)
                }
                _ => panic!("neither TCP nor UDP"),
            }
        }
        NetSlice::Arp(_) => panic!("not IP"),
    };
    assert_eq!(found, computed.expect("not too long"));
}
