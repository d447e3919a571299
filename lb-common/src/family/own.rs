// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the families disagree on where the node itself says something.

use super::{Family, NETWORK_AT, V4, V6};
use crate::csum::{Change, add_to, field};
use crate::delivery::Hops;
use crate::packet::{OutOfPacket, Packet};
use crate::wire::Resolver;
use zerocopy::transmute;

/// Hops that a packet of this node's own may make (RFC 1700: the default of 64).
const HOPS: u8 = 64;

/// Bits of the traffic class that say something of congestion, and nothing of the way (RFC 3168).
const CONGESTION: u8 = 3;

/// Headers of this node's own packets, and what ICMP says in them.
pub trait Own: Family {
    /// The IP header, without options or extension headers.
    type Header: Copy;
    /// Where the transport header begins behind such a header.
    const TRANSPORT_AT: usize = NETWORK_AT + Self::HEADER;
    /// ICMP's type of an echo request, and of the reply.
    const ECHO: [u8; 2];
    /// Linux's number of this family (`AF_INET`, `AF_INET6`).
    const NUMBER: u8;
    /// ICMP's type and code for a port that nobody serves.
    const PORT_UNREACHABLE: [u8; 2];
    /// ICMP's type and code for a packet that is too long for the link it would leave by; the MTU
    /// stands in the last two bytes of the message's header (RFC 1191, RFC 4443 section 3.2).
    const TOO_LONG: [u8; 2];
    /// Protocol number of a packet of this family in an IP packet (RFC 2003, RFC 2473).
    const IN_IP: u8;
    /// The least that a link's MTU may be (RFC 791, RFC 8200 section 5).
    const LEAST_MTU: u16;
    /// The least that a router between two nodes is believed to have room for. In any tunnel it
    /// leaves as much as every sender can make do with, so that whoever forges its word takes the
    /// way from nobody.
    const LEAST_PATH_MTU: u16;
    /// Whether ICMP's checksum covers a pseudo-header (RFC 4443, section 2.3).
    const ICMP_HAS_PSEUDO_HEADER: bool;

    /// The address at which the kernel is asked for names.
    fn resolver(resolver: &Resolver) -> Self::Address;
    /// The header as it stands in the packet.
    fn load_header<P: Packet + ?Sized>(packet: &P) -> Result<Self::Header, OutOfPacket>;
    /// Writes a header somewhere in the packet.
    fn store_header<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        header: &Self::Header,
    ) -> Result<(), OutOfPacket>;
    /// The same at its place, by [`Packet::overwrite`].
    fn overwrite_header<P: Packet + ?Sized>(
        packet: &mut P,
        header: &Self::Header,
    ) -> Result<(), OutOfPacket>;
    /// The header of a packet that this node sends, with so many bytes behind it.
    fn header(
        source: &Self::Address,
        destination: &Self::Address,
        protocol: u8,
        payload_length: u16,
    ) -> Self::Header;
    /// The same header of another kind of traffic, as [`Hops::class`] says it.
    fn with_class(header: Self::Header, class: [u8; 4]) -> Self::Header;
    /// How long the packet says that it is, from its IP header on; segments that are too long for
    /// that say nothing.
    fn load_length<P: Packet + ?Sized>(packet: &P) -> Result<u16, OutOfPacket>;
    /// What a header adds to a checksum that covers it.
    fn sum(header: &Self::Header) -> Change;
    /// Hops that a packet has left.
    fn load_hops<P: Packet + ?Sized>(packet: &P) -> Result<Hops, OutOfPacket>;
    /// Gives a packet that has so many hops another number of them.
    fn store_hops<P: Packet + ?Sized>(packet: &mut P, old: u8, new: u8) -> Result<(), OutOfPacket>;
    /// Gives a packet as many hops as one of this node's own.
    #[inline(always)]
    fn renew_hops<P: Packet + ?Sized>(packet: &mut P) -> Result<(), OutOfPacket> {
        let Hops { left, .. } = Self::load_hops(packet)?;
        Self::store_hops(packet, left, HOPS)
    }
    /// Whether routers may break a packet up that is too long, instead of telling its sender.
    fn may_be_broken<P: Packet + ?Sized>(packet: &P) -> Result<bool, OutOfPacket>;
    /// Whether an address is that of one host, which may be answered.
    fn is_host(address: &Self::Address) -> bool;
}

impl Own for V4 {
    type Header = [u8; 20];
    const ECHO: [u8; 2] = [8, 0];
    const NUMBER: u8 = 2;
    // RFC 792.
    const PORT_UNREACHABLE: [u8; 2] = [3, 3];
    const TOO_LONG: [u8; 2] = [3, 4];
    const IN_IP: u8 = 4;
    const LEAST_MTU: u16 = 68;
    // That is 576 bytes: what everybody takes (RFC 791), ICMP errors keep to (RFC 1812, section
    // 4.3.2.3), and Linux believes in as a sender (552, `net.ipv4.route.min_pmtu`).
    const LEAST_PATH_MTU: u16 = 576 + 20 + 16;
    const ICMP_HAS_PSEUDO_HEADER: bool = false;

    #[inline(always)]
    fn resolver(resolver: &Resolver) -> [u8; 4] {
        resolver.narrow
    }

    #[inline(always)]
    fn load_header<P: Packet + ?Sized>(packet: &P) -> Result<[u8; 20], OutOfPacket> {
        let mut header = [0; 20];
        packet.load(NETWORK_AT, &mut header)?;
        Ok(header)
    }

    #[inline(always)]
    fn store_header<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        header: &[u8; 20],
    ) -> Result<(), OutOfPacket> {
        packet.store(at, header)
    }

    #[inline(always)]
    fn overwrite_header<P: Packet + ?Sized>(
        packet: &mut P,
        header: &[u8; 20],
    ) -> Result<(), OutOfPacket> {
        packet.overwrite(NETWORK_AT, header)
    }

    #[inline(always)]
    fn header(
        [s0, s1, s2, s3]: &[u8; 4],
        [d0, d1, d2, d3]: &[u8; 4],
        protocol: u8,
        payload_length: u16,
    ) -> [u8; 20] {
        let [l0, l1] = payload_length.wrapping_add(20).to_be_bytes();
        // Never to be fragmented, so its identification says nothing (RFC 6864).
        let header = |c0, c1| {
            [
                0x45, 0, l0, l1, 0, 0, 0x40, 0, HOPS, protocol, c0, c1, *s0, *s1, *s2, *s3, *d0,
                *d1, *d2, *d3,
            ]
        };
        let [c0, c1] = field(Change::of(&header(0, 0)));
        header(c0, c1)
    }

    #[inline(always)]
    fn with_class(header: [u8; 20], [class, ..]: [u8; 4]) -> [u8; 20] {
        let mut header = header;
        let [first, kind, .., c0, c1, _, _, _, _, _, _, _, _] = &mut header;
        let change = Change::between(&[*first, *kind, 0, 0], &[*first, class, 0, 0]);
        *kind = class;
        [*c0, *c1] = add_to([*c0, *c1], change);
        header
    }

    #[inline(always)]
    fn load_length<P: Packet + ?Sized>(packet: &P) -> Result<u16, OutOfPacket> {
        let mut length = [0; 2];
        packet.load(NETWORK_AT + 2, &mut length)?;
        Ok(u16::from_be_bytes(length))
    }

    #[inline(always)]
    fn sum(header: &[u8; 20]) -> Change {
        Change::of(header)
    }

    #[inline(always)]
    fn load_hops<P: Packet + ?Sized>(packet: &P) -> Result<Hops, OutOfPacket> {
        let mut header = [0; 12];
        packet.load_header(NETWORK_AT, &mut header)?;
        let [_, class, _, _, _, _, _, _, left, ..] = header;
        let class = [class & !CONGESTION, 0, 0, 0];
        Ok(Hops { left, class })
    }

    #[inline(always)]
    fn store_hops<P: Packet + ?Sized>(packet: &mut P, old: u8, new: u8) -> Result<(), OutOfPacket> {
        let change = Change::between(&[old, 0, 0, 0], &[new, 0, 0, 0]);
        packet.correct_header_checksum(NETWORK_AT + 10, change)?;
        packet.store(NETWORK_AT + 8, &[new])
    }

    #[inline(always)]
    fn may_be_broken<P: Packet + ?Sized>(packet: &P) -> Result<bool, OutOfPacket> {
        let mut flags = [0; 1];
        packet.load(NETWORK_AT + 6, &mut flags)?;
        let [flags] = flags;
        // "Don't fragment" (RFC 791, section 3.1).
        Ok(flags & 0x40 == 0)
    }

    #[inline(always)]
    fn is_host([first, ..]: &[u8; 4]) -> bool {
        // "This network", loopback, multicast, reserved and broadcast (RFC 6890, RFC 1122).
        !matches!(first, 0 | 127 | 224..)
    }
}

impl Own for V6 {
    type Header = [u8; 40];
    const ECHO: [u8; 2] = [128, 129];
    const NUMBER: u8 = 10;
    // RFC 4443, section 3.1.
    const PORT_UNREACHABLE: [u8; 2] = [1, 4];
    const TOO_LONG: [u8; 2] = [2, 0];
    const IN_IP: u8 = 41;
    const LEAST_MTU: u16 = 1_280;
    const LEAST_PATH_MTU: u16 = Self::LEAST_MTU + 40 + 16;
    const ICMP_HAS_PSEUDO_HEADER: bool = true;

    #[inline(always)]
    fn resolver(resolver: &Resolver) -> [u8; 16] {
        resolver.wide
    }

    #[inline(always)]
    fn load_header<P: Packet + ?Sized>(packet: &P) -> Result<[u8; 40], OutOfPacket> {
        let mut header = [0; 40];
        packet.load(NETWORK_AT, &mut header)?;
        Ok(header)
    }

    #[inline(always)]
    fn store_header<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        header: &[u8; 40],
    ) -> Result<(), OutOfPacket> {
        packet.store(at, header)
    }

    #[inline(always)]
    fn overwrite_header<P: Packet + ?Sized>(
        packet: &mut P,
        header: &[u8; 40],
    ) -> Result<(), OutOfPacket> {
        packet.overwrite(NETWORK_AT, header)
    }

    #[inline(always)]
    fn header(
        source: &[u8; 16],
        destination: &[u8; 16],
        protocol: u8,
        payload_length: u16,
    ) -> [u8; 40] {
        let [l0, l1] = payload_length.to_be_bytes();
        let fixed = [0x60, 0, 0, 0, l0, l1, protocol, HOPS];
        let [s0, s1]: [[u8; 8]; 2] = transmute!(*source);
        let [d0, d1]: [[u8; 8]; 2] = transmute!(*destination);
        transmute!([fixed, s0, s1, d0, d1])
    }

    #[inline(always)]
    fn with_class(header: [u8; 40], [c0, c1, ..]: [u8; 4]) -> [u8; 40] {
        let mut header = header;
        let [first, second, ..] = &mut header;
        *first |= c0;
        *second |= c1;
        header
    }

    #[inline(always)]
    fn load_length<P: Packet + ?Sized>(packet: &P) -> Result<u16, OutOfPacket> {
        let mut length = [0; 2];
        packet.load(NETWORK_AT + 4, &mut length)?;
        let payload = u16::from_be_bytes(length);
        payload.checked_add(40).ok_or(OutOfPacket)
    }

    #[inline(always)]
    fn sum(header: &[u8; 40]) -> Change {
        Change::of(header)
    }

    #[inline(always)]
    fn load_hops<P: Packet + ?Sized>(packet: &P) -> Result<Hops, OutOfPacket> {
        let mut header = [0; 8];
        packet.load_header(NETWORK_AT, &mut header)?;
        let [c0, c1, _, _, _, _, _, left] = header;
        // Without the version (`ip6_flowinfo`), and without the label, which each flow has its own
        // of.
        let class = [c0 & 0x0f, c1 & !(CONGESTION << 4) & 0xf0, 0, 0];
        Ok(Hops { left, class })
    }

    #[inline(always)]
    fn store_hops<P: Packet + ?Sized>(
        packet: &mut P,
        _old: u8,
        new: u8,
    ) -> Result<(), OutOfPacket> {
        packet.store_uncovered(NETWORK_AT + 7, &[new])
    }

    #[inline(always)]
    fn may_be_broken<P: Packet + ?Sized>(_packet: &P) -> Result<bool, OutOfPacket> {
        Ok(false)
    }

    #[inline(always)]
    fn is_host(address: &[u8; 16]) -> bool {
        let [first, rest @ .., last] = address;
        let is_low = *first == 0 && rest.iter().all(|byte| *byte == 0);
        // Multicast, unspecified, loopback (RFC 4291).
        *first != 0xff && !(is_low && *last <= 1)
    }
}
