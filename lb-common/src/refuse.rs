// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells a client that nobody serves what it dials: TCP by a reset, all else by an ICMP error.
//!
//! What may be answered at all, and how often, is decided here. The packet itself becomes the
//! answer.

use crate::account;
use crate::admit;
use crate::csum::{Change, field};
use crate::echo;
use crate::family::{NETWORK_AT, Own};
use crate::frame::Frame;
use crate::packet::{OutOfPacket, Packet};
use crate::parse::{Datagram, flags};
use crate::rewrite;
use crate::tables::{Side, Tables};
use crate::verdict::Reason;
use crate::wire::{Manner, Refusals, protocol};
use zerocopy::FromZeros as _;

/// Length of a TCP header without options (RFC 9293, section 3.1).
const TCP_LENGTH: usize = 20;
/// Length of an ICMP error's own header (RFC 792, RFC 4443).
const ICMP_LENGTH: usize = 8;
/// Bytes of the transport header that an ICMP error quotes: the ports are in them, and more would
/// make it longer than what it answers (RFC 1122, section 3.2.2, asks for these; RFC 4443,
/// section 2.4 c, for as many as there are).
const QUOTED: usize = 8;

/// What becomes of a packet for a Service's address, but for no port that it has, and of no flow.
#[inline(always)]
pub fn unserved<F: Own, P: Packet + ?Sized>(packet: &P, frame: &mut Frame<F::Address>) -> Reason {
    let wish = match Reason::from_number(frame.end) {
        Some(Reason::NotRelated | Reason::RelatedFragment) => Reason::RelatedUnknown,
        Some(Reason::Fragment) => Reason::FragmentEarly,
        Some(Reason::FragmentShort) => Reason::FragmentShort,
        Some(Reason::Malformed | Reason::Extension) => Reason::Unanswerable,
        _ if frame.datagram.tuple.protocol == F::ICMP => Reason::Echoed,
        _ => Reason::PortRefused,
    };
    unless_for_host::<F, P>(packet, frame, wish)
}

/// What becomes of a packet for an address that no Service has, and of no flow.
#[inline(always)]
pub fn unallocated<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    let destination = F::widen(frame.datagram.tuple.destination);
    let manner = Manner::from_byte(tables.node().refusals.unallocated);
    if manner == Manner::Pass || !tables.range().holds(&destination) {
        return left_alone(frame);
    }
    unless_for_host::<F, P>(packet, frame, Reason::Unallocated)
}

/// How a packet ends that is none of ours: the receiver judges what is wrong with it.
#[inline(always)]
fn left_alone<A>(frame: &Frame<A>) -> Reason {
    match Reason::from_number(frame.end) {
        Some(Reason::FragmentShort) | None => Reason::Fragment,
        Some(end) => end,
    }
}

/// What is for this host itself is left alone, whoever else has the address.
#[inline(always)]
fn unless_for_host<F: Own, P: Packet + ?Sized>(
    packet: &P,
    frame: &mut Frame<F::Address>,
    wish: Reason,
) -> Reason {
    if admit::is_the_hosts::<F, P>(packet, frame, Side::Backend) {
        return left_alone(frame);
    }
    wish
}

/// Makes of a packet the answer that its end names; the end that it really comes to.
///
/// Out of line, and called by the root: its stack does not lie on top of the trunk's.
#[inline(never)]
pub fn answer<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &Frame<F::Address>,
    wish: Reason,
) -> Reason {
    let refusals = tables.node().refusals;
    let (manner, silence) = manner(&refusals, wish);
    match manner {
        Manner::Answer => {}
        Manner::Drop => return silence,
        Manner::Pass if wish == Reason::Echoed => return Reason::OtherProtocol,
        Manner::Pass => return Reason::NotService,
    }
    // What is for another machine that one answers. A pod's packets may be for a bridge behind its
    // link.
    let overheard_by = packet.overheard_by();
    if overheard_by.is_some_and(|ifindex| !tables.is_pod_link(ifindex)) {
        return Reason::NotService;
    }
    let datagram = &frame.datagram;
    let Some(answer) = length::<F, P>(packet, datagram, wish) else {
        return Reason::Unanswerable;
    };
    let now_ns = tables.now_ns();
    if !account::pay(tables, &refusals, now_ns, datagram.end, answer) {
        return Reason::AnswerLimit;
    }
    let made = if wish == Reason::TooLong {
        icmp_error::<F, P>(packet, datagram, F::TOO_LONG, frame.mtu)
    } else if datagram.is_tcp() {
        reset::<F, P>(packet, datagram)
    } else if datagram.tuple.protocol == F::ICMP {
        echo::reply::<F, P>(packet, datagram)
    } else {
        icmp_error::<F, P>(packet, datagram, F::PORT_UNREACHABLE, 0)
    };
    made.map_or_else(Reason::from, |()| wish)
}

/// What whoever runs the node wants instead, and the end without an answer.
#[inline(always)]
fn manner(refusals: &Refusals, wish: Reason) -> (Manner, Reason) {
    match wish {
        Reason::Echoed => (Manner::from_byte(refusals.echo), Reason::Unechoed),
        Reason::PortRefused => (
            Manner::from_byte(refusals.unknown_port),
            Reason::UnknownPort,
        ),
        Reason::Reset => (Manner::from_byte(refusals.unknown_flow), Reason::NoFlow),
        // Whoever is not told sends it again and again.
        Reason::TooLong => (Manner::Answer, Reason::Unanswerable),
        _ => (Manner::from_byte(refusals.no_endpoint), Reason::NoBackend),
    }
}

/// How long the answer to a packet is; none: it must not be answered (RFC 1122, section 3.2.2, and
/// RFC 9293, section 3.10.7.1).
#[inline(always)]
fn length<F: Own, P: Packet + ?Sized>(
    packet: &P,
    datagram: &Datagram<F::Address>,
    wish: Reason,
) -> Option<usize> {
    let tuple = &datagram.tuple;
    let mut ends = [0; 12];
    packet.load(0, &mut ends).ok()?;
    // One that is cut short has not asked for as much as it says.
    packet.load(datagram.end.checked_sub(1)?, &mut [0]).ok()?;
    let [to, _, _, _, _, _, from, ..] = ends;
    // The first bit on the wire: a group of stations (IEEE 802).
    let is_of_group = (to | from) & 1 != 0;
    if is_of_group || !F::is_host(&tuple.source) || tuple.source == tuple.destination {
        return None;
    }
    if datagram.is_tcp() && wish != Reason::TooLong {
        return (datagram.tcp_flags & flags::RST == 0).then_some(F::TRANSPORT_AT + TCP_LENGTH);
    }
    // Only a header without options or extensions is quoted, or sent back.
    let is_plain =
        datagram.transport_at == F::TRANSPORT_AT && datagram.end >= F::TRANSPORT_AT + QUOTED;
    if tuple.protocol == F::ICMP {
        // Of a request in pieces, only the first has the type, and the others find nobody.
        let is_request = datagram.is_first == 0 && echo::is_request::<F, P>(packet, datagram);
        return (is_plain && is_request).then_some(datagram.end);
    }
    let quoted = F::TRANSPORT_AT - NETWORK_AT + QUOTED;
    is_plain.then_some(F::TRANSPORT_AT + ICMP_LENGTH + quoted)
}

/// A reset, as a host sends it that knows no such connection (RFC 9293, section 3.10.7.1).
#[inline(never)]
fn reset<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<F::Address>,
) -> Result<(), OutOfPacket> {
    let mut segment = [0; TCP_LENGTH];
    packet.load(datagram.transport_at, &mut segment)?;
    let [s0, s1, d0, d1, _, _, _, _, a0, a1, a2, a3, ..] = segment;
    let (sequence, acknowledgement, flags) = if datagram.tcp_flags & flags::ACK != 0 {
        ([a0, a1, a2, a3], [0; 4], flags::RST)
    } else {
        ([0; 4], datagram.next.to_be_bytes(), flags::RST | flags::ACK)
    };
    let [q0, q1, q2, q3] = sequence;
    let [a0, a1, a2, a3] = acknowledgement;
    let answer = |c0, c1| {
        [
            d0, d1, s0, s1, q0, q1, q2, q3, a0, a1, a2, a3, 0x50, flags, 0, 0, c0, c1, 0, 0,
        ]
    };
    let sum = pseudo_header::<F>(datagram, protocol::TCP, [0, 20]);
    let [c0, c1] = field(sum.plus(Change::of(&answer(0, 0))));

    begin::<F, P>(packet, datagram, protocol::TCP, TCP_LENGTH)?;
    packet.store(F::TRANSPORT_AT, &answer(c0, c1))
}

/// An ICMP error of this type and code, with an MTU where it is about that.
#[inline(never)]
fn icmp_error<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<F::Address>,
    [kind, code]: [u8; 2],
    mtu: u16,
) -> Result<(), OutOfPacket> {
    let [m0, m1] = mtu.to_be_bytes();
    let quoted_header = F::load_header(packet)?;
    let mut quoted = [0; QUOTED];
    packet.load(F::TRANSPORT_AT, &mut quoted)?;
    let length = ICMP_LENGTH + (F::TRANSPORT_AT - NETWORK_AT) + QUOTED;
    let [l0, l1, ..] = length.to_le_bytes();
    let mut sum = Change::of(&[kind, code, 0, 0, 0, 0, m0, m1])
        .plus(F::sum(&quoted_header))
        .plus(Change::of(&quoted));
    if F::ICMP_HAS_PSEUDO_HEADER {
        sum = sum.plus(pseudo_header::<F>(datagram, F::ICMP, [l1, l0]));
    }
    let [c0, c1] = field(sum);

    begin::<F, P>(packet, datagram, F::ICMP, length)?;
    let at = F::TRANSPORT_AT;
    packet.store(at, &[kind, code, c0, c1, 0, 0, m0, m1])?;
    F::store_header(packet, at + ICMP_LENGTH, &quoted_header)?;
    let behind = at + ICMP_LENGTH + (F::TRANSPORT_AT - NETWORK_AT);
    packet.store(behind, &quoted)
}

/// Makes the packet one from the Service to the client, with so many bytes behind its IP header
/// that are still to be written.
#[inline(always)]
fn begin<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<F::Address>,
    protocol: u8,
    length: usize,
) -> Result<(), OutOfPacket> {
    let mut ends = [0; 12];
    packet.load(0, &mut ends)?;
    packet.blank(F::TRANSPORT_AT + length)?;
    packet.store(0, &ends)?;
    rewrite::turn_round(packet)?;
    packet.store(NETWORK_AT - 2, &F::ETHERTYPE.to_be_bytes())?;
    let tuple = &datagram.tuple;
    let [l0, l1, ..] = length.to_le_bytes();
    let length = u16::from_le_bytes([l0, l1]);
    let header = F::header(&tuple.destination, &tuple.source, protocol, length);
    F::store_header(packet, NETWORK_AT, &header)
}

/// What the pseudo-header adds to a checksum (RFC 9293, section 3.1; RFC 8200, section 8.1): the
/// addresses in either order, the protocol and a length.
#[inline(always)]
fn pseudo_header<F: Own>(
    datagram: &Datagram<F::Address>,
    protocol: u8,
    [l0, l1]: [u8; 2],
) -> Change {
    let none = F::Address::new_zeroed();
    let tuple = &datagram.tuple;
    F::change(&none, &tuple.source)
        .plus(F::change(&none, &tuple.destination))
        .plus(Change::of(&[0, protocol, l0, l1]))
}
