// SPDX-License-Identifier: MIT OR Apache-2.0
//! The builder and the checksum judge against each other and against a frame from outside.

use super::{
    Extension, Frame, other,
    sums::{Sum, Sums, sums},
    tcp, udp,
};
use std::net::SocketAddr;

fn ends(family: u8) -> (SocketAddr, SocketAddr) {
    let [client, service] = match family {
        4 => ["10.1.0.9:4242", "10.96.0.1:80"],
        _ => ["[fd00:1::9]:4242", "[fd00:96::1]:80"],
    };
    (
        client.parse().expect("an address"),
        service.parse().expect("an address"),
    )
}

/// Each frame of both families, and what its header checksum must be.
fn each(frames: impl Fn(SocketAddr, SocketAddr) -> Vec<Frame>, check: impl Fn(&[u8], Sum)) {
    for (family, header) in [(4, Sum::Right), (6, Sum::Absent)] {
        let (client, service) = ends(family);
        for frame in frames(client, service) {
            check(&frame.bytes(), header);
        }
    }
}

#[test]
fn what_the_builder_sums_up_is_right() {
    let frames = |client, service| {
        vec![
            tcp(client, service).syn(),
            tcp(client, service).syn_ack().tcp_options(&[2, 4, 5, 0xb4]),
            tcp(client, service).fin().payload(b"odd"),
            udp(client, service),
            udp(client, service).payload(b"even").tagged(0x8100, 7),
            udp(client, service).tagged(0x88a8, 8).tagged(0x8100, 7),
        ]
    };
    each(frames, |bytes, header| {
        assert_eq!(
            sums(bytes),
            Sums {
                header,
                transport: Sum::Right
            },
            "{bytes:02x?}"
        );
    });
}

#[test]
fn options_and_extension_headers_are_inside_the_lengths() {
    let (client, service) = ends(4);
    let frame = tcp(client, service)
        .rst()
        .ipv4_options(&[1, 1, 1, 0])
        .bytes();
    assert_eq!(frame[14], 0x46);
    assert_eq!(
        sums(&frame),
        Sums {
            header: Sum::Right,
            transport: Sum::Right
        }
    );

    let (client, service) = ends(6);
    let frame = udp(client, service)
        .extension(Extension::HopByHop(14))
        .extension(Extension::Routing(0))
        .extension(Extension::Fragment(0, false))
        .extension(Extension::Authentication(3))
        .extension(Extension::Destination(6))
        .payload(b"behind five headers");
    let bytes = frame.bytes();
    assert_eq!(bytes[20], 0, "hop-by-hop comes first");
    assert_eq!(
        sums(&bytes),
        Sums {
            header: Sum::Absent,
            transport: Sum::Right
        }
    );
    let routed = udp(client, service)
        .extension(Extension::Routing(1))
        .bytes();
    assert_eq!(
        sums(&routed).transport,
        Sum::Unknown,
        "the final destination is another"
    );
}

#[test]
fn a_checksum_left_out_is_absent() {
    let frames = |client, service| vec![udp(client, service).no_checksum().payload(b"x")];
    each(frames, |bytes, header| {
        assert_eq!(
            sums(bytes),
            Sums {
                header,
                transport: Sum::Absent
            }
        );
    });
}

#[test]
fn nothing_is_known_of_parts() {
    let frames = |client, service| {
        vec![
            tcp(client, service).payload(&[7; 16]).fragment(0, true),
            tcp(client, service).payload(&[7; 16]).fragment(2, false),
        ]
    };
    each(frames, |bytes, header| {
        assert_eq!(
            sums(bytes),
            Sums {
                header,
                transport: Sum::Unknown
            }
        );
    });
    each(
        |client, service| vec![tcp(client, service).payload(&[7; 16]).truncated(60)],
        |bytes, _| {
            assert_eq!(bytes.len(), 60);
            assert_eq!(
                sums(bytes),
                Sums {
                    header: Sum::Unknown,
                    transport: Sum::Unknown
                }
            );
        },
    );
    let (client, service) = ends(4);
    let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    for (number, transport) in [(1, Sum::Right), (47, Sum::Unknown)] {
        let frame = other(number, client.ip(), service.ip()).payload(&echo);
        assert_eq!(
            sums(&frame.bytes()),
            Sums {
                header: Sum::Right,
                transport
            }
        );
    }
}

#[test]
fn lies_bend_the_field_that_they_name() {
    let (client, service) = ends(4);
    let honest = udp(client, service).payload(b"four").bytes();
    let bent = |frame: Frame| {
        let bytes = frame.payload(b"four").bytes();
        let differ = |at: &usize| honest[*at] != bytes[*at];
        // The IPv4 checksum follows each lie in its header.
        (14..honest.len())
            .filter(|at| !(24..26).contains(at))
            .filter(differ)
            .collect::<Vec<_>>()
    };
    assert_eq!(bent(udp(client, service).claims_version(5)), [14]);
    assert_eq!(bent(udp(client, service).claims_header_words(4)), [14]);
    assert_eq!(bent(udp(client, service).claims_length(0x0101)), [16, 17]);
    assert_eq!(
        bent(udp(client, service).claims_udp_length(0x0101)),
        [38, 39]
    );
    let short = tcp(client, service).claims_data_offset(4).bytes();
    assert_eq!(short[46], 0x40);
    assert_eq!(
        udp(client, service).claims_ether_type(0x0806).bytes()[12..14],
        [8, 6]
    );
}

#[test]
fn the_judge_agrees_with_an_example_from_outside() {
    // The header that the article "Internet checksum" of the English Wikipedia sums up by hand.
    let header = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];
    let mut frame = vec![0; 12];
    frame.extend([8, 0]);
    frame.extend(header);
    frame.extend([0, 53, 0, 53, 0, 95]);
    frame.resize(14 + 0x73, 0);
    assert_eq!(
        sums(&frame),
        Sums {
            header: Sum::Right,
            transport: Sum::Absent
        }
    );
    frame[25] ^= 1;
    assert_eq!(sums(&frame).header, Sum::Wrong);
}

#[test]
fn the_judge_notices_each_bit() {
    let frames = |client, service| vec![tcp(client, service).syn().payload(b"bits")];
    each(frames, |bytes, header| {
        let right = Sums {
            header,
            transport: Sum::Right,
        };
        // Nothing covers the type of service, flow label and hop limit of IPv6.
        let first = if header == Sum::Right { 14 } else { 22 };
        for at in first..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            assert_ne!(sums(&flipped), right, "bit {} of byte {at}", at % 8);
        }
    });
}
