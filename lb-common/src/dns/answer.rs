// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer's bytes, in the query's place.
//!
//! The question stays where it is. Names are written as the server writes them: all of them end as
//! the one that was asked for, and so in a pointer to that.

use super::find::Found;
use super::question::{HEADER, OPT, Scratch};
use crate::csum::Change;
use crate::family::{NETWORK_AT, Own};
use crate::packet::{OutOfPacket, Packet, Part};
use crate::parse::Datagram;
use crate::rewrite;
use crate::wire::{Tuple, protocol};

/// Bytes of each record: A, AAAA, SOA.
const NARROW: usize = 16;
const WIDE: usize = 28;
const AUTHORITY: usize = 54;
/// The most that an answer may have, as the server says in its OPT record.
const PAYLOAD: u16 = 1_232;

/// Makes of a query its answer.
///
/// Out of line, as reading is.
#[inline(never)]
pub(super) fn write<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<F::Address>,
    scratch: &mut Scratch,
    found: Found,
) -> Result<(), OutOfPacket> {
    let record = records(scratch, found);
    let length = if scratch.has_opt == 0 {
        record
    } else {
        record + OPT
    };
    let question_end = scratch.question_end;
    let old_length = scratch.length - question_end;
    let tail_at = scratch.message_at + question_end;
    scratch.old_tail = [0; 24];
    if old_length > 0 {
        packet.load_some(tail_at, old_length, &mut scratch.old_tail)?;
    }
    let old: [u8; HEADER] = scratch.message.first_chunk().copied().unwrap_or_default();
    let new = header(old, scratch.has_opt, found);

    let behind = Change::between(&scratch.old_tail, &[0; 24]).plus(Change::of(&scratch.tail));
    let behind = if question_end & 1 == 0 {
        behind
    } else {
        behind.shifted()
    };
    let udp = |message: usize| {
        let [l0, l1, ..] = (8 + message).to_le_bytes();
        [l1, l0]
    };
    let (old_udp, new_udp) = (udp(scratch.length), udp(question_end + length));
    let lengths = Change::between(&widened(old_udp), &widened(new_udp));
    packet.resize(tail_at + length)?;
    let (at, part) = (F::TRANSPORT_AT, Part::Transport);
    let covered = Change::between(&old, &new).plus(behind).plus(lengths);
    packet.correct_transport_checksum(at + 6, covered, part, true)?;
    packet.correct_transport_checksum(at + 6, lengths, Part::BalancedAddresses, true)?;
    rewrite::turn_round(packet)?;
    let Tuple {
        source,
        destination,
        source_port: [s0, s1],
        destination_port: [d0, d1],
        ..
    } = datagram.tuple;
    let ip = F::header(
        &destination,
        &source,
        protocol::UDP,
        u16::from_be_bytes(new_udp),
    );
    F::store_header(packet, NETWORK_AT, &ip)?;
    let [l0, l1] = new_udp;
    packet.store(at, &[d0, d1, s0, s1, l0, l1])?;
    packet.store(scratch.message_at, &new)?;
    packet.store_some(tail_at, &scratch.tail, length)
}

/// Four bytes of two, to be summed.
#[inline(always)]
fn widened([a, b]: [u8; 2]) -> [u8; 4] {
    [a, b, 0, 0]
}

/// The header of the answer to a query.
#[inline(always)]
fn header(query: [u8; HEADER], has_opt: u8, found: Found) -> [u8; HEADER] {
    let [i0, i1, flags, more, ..] = query;
    let (code, answers, authorities) = match found {
        Found::Narrow | Found::Wide => (0, 1, 0),
        Found::NoData => (0, 0, 1),
        Found::NoName => (3, 0, 1),
    };
    // QR, AA, and RD as it was; RA, and CD as it was (RFC 1035, section 4.1.1, and RFC 4035).
    let (flags, more) = (0x84 | flags & 0x01, 0x80 | more & 0x10 | code);
    [
        i0,
        i1,
        flags,
        more,
        0,
        1,
        0,
        answers,
        0,
        authorities,
        0,
        has_opt,
    ]
}

/// Writes the records behind the question; how many bytes there are in front of OPT.
#[inline(always)]
fn records(scratch: &mut Scratch, found: Found) -> usize {
    scratch.tail = [0; 72];
    match found {
        Found::Narrow => {
            let [t0, t1, t2, t3] = scratch.resolver.ttl_s.to_be_bytes();
            let [a, b, c, d] = scratch.entry.narrow;
            let record = [0xc0, 0x0c, 0, 1, 0, 1, t0, t1, t2, t3, 0, 4, a, b, c, d];
            put::<0, NARROW>(scratch, &record);
            put_opt::<NARROW>(scratch);
            NARROW
        }
        Found::Wide => {
            let [t0, t1, t2, t3] = scratch.resolver.ttl_s.to_be_bytes();
            let record = [0xc0, 0x0c, 0, 28, 0, 1, t0, t1, t2, t3, 0, 16];
            put::<0, 12>(scratch, &record);
            let address = scratch.entry.wide;
            put::<12, 16>(scratch, &address);
            put_opt::<WIDE>(scratch);
            WIDE
        }
        Found::NoData | Found::NoName => {
            authority(scratch);
            put_opt::<AUTHORITY>(scratch);
            AUTHORITY
        }
    }
}

/// The record of the zone (RFC 1035, section 3.3.13): `ns.dns` and `hostmaster` below the domain.
#[inline(always)]
fn authority(scratch: &mut Scratch) {
    let [a0, a1, ..] = scratch.origin_at.to_le_bytes();
    let (p0, p1) = (0xc0 | a1, a0);
    let resolver = &scratch.resolver;
    let [t0, t1, t2, t3] = resolver.negative_ttl_s.to_be_bytes();
    let [s0, s1, s2, s3] = resolver.serial.to_be_bytes();
    let head = [p0, p1, 0, 6, 0, 1, t0, t1, t2, t3, 0, 42];
    put::<0, 12>(scratch, &head);
    put::<12, 9>(scratch, &[2, b'n', b's', 3, b'd', b'n', b's', p0, p1]);
    let mailbox = [
        10, b'h', b'o', b's', b't', b'm', b'a', b's', b't', b'e', b'r', p0, p1,
    ];
    put::<21, 13>(scratch, &mailbox);
    let numbers = [
        s0, s1, s2, s3, 0, 0, 0x1c, 0x20, 0, 0, 0x07, 0x08, 0, 1, 0x51, 0x80, t0, t1, t2, t3,
    ];
    put::<34, 20>(scratch, &numbers);
}

/// OPT without options, if the query has one.
#[inline(always)]
fn put_opt<const AT: usize>(scratch: &mut Scratch) {
    if scratch.has_opt != 0 {
        let [p0, p1] = PAYLOAD.to_be_bytes();
        put::<AT, OPT>(scratch, &[0, 0, 41, p0, p1, 0, 0, 0, 0, 0, 0]);
    }
}

/// Writes bytes of the tail, whose room is known to the compiler.
#[inline(always)]
fn put<const AT: usize, const N: usize>(scratch: &mut Scratch, bytes: &[u8; N]) {
    if let Some(room) = scratch.tail.get_mut(AT..).and_then(<[u8]>::first_chunk_mut) {
        *room = *bytes;
    }
}
