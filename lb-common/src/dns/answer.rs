// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer's bytes, in the query's place.
//!
//! The question stays where it is. Names are written as the server writes them: all of them end as
//! the one that was asked for, and so in a pointer to that.

use super::find::Found;
use super::question::{COOKIE, HEADER, OPT, Scratch};
use crate::csum::Change;
use crate::family::Own;
use crate::packet::{OutOfPacket, Packet, Part};
use crate::parse::Datagram;
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
    scratch: &Scratch,
    found: Found,
) -> Result<(), OutOfPacket> {
    let (at, message_at) = (F::TRANSPORT_AT, F::TRANSPORT_AT + 8);
    let tail_at = scratch.question_end;
    let record = match found {
        Found::Narrow => NARROW,
        Found::Wide => WIDE,
        Found::NoData | Found::NoName => AUTHORITY,
    };
    let opt = if scratch.has_opt == 0 { 0 } else { OPT };
    let (mut ends, mut query) = ([0; 12], [0; HEADER]);
    packet.load_header(0, &mut ends)?;
    packet.load_header(message_at, &mut query)?;
    let was_behind = behind(packet, tail_at, datagram.end)?;
    let end = tail_at + record + opt;
    packet.resize(end)?;

    let mut is_behind = records(packet, tail_at, message_at, scratch, found)?;
    if opt != 0 {
        let [p0, p1] = PAYLOAD.to_be_bytes();
        let record_of_opt = [0, 0, 41, p0, p1, 0, 0, 0, 0, 0, 0];
        is_behind = is_behind.plus(put(packet, tail_at + record, &record_of_opt)?);
    }
    let behind = was_behind.undone().plus(is_behind);
    let behind = if tail_at & 1 == 0 {
        behind
    } else {
        behind.shifted()
    };
    let answer = header(query, scratch.has_opt, found);
    packet.overwrite(message_at, &answer)?;
    let (old_udp, new_udp) = (length(datagram.end - at), length(end - at));
    let Tuple {
        source,
        destination,
        source_port: [s0, s1],
        destination_port: [d0, d1],
        ..
    } = datagram.tuple;
    let [l0, l1] = new_udp;
    packet.overwrite(at, &[d0, d1, s0, s1, l0, l1])?;
    let ip = F::header(
        &destination,
        &source,
        protocol::UDP,
        u16::from_be_bytes(new_udp),
    );
    F::overwrite_header(packet, &ip)?;
    let [t0, t1, t2, t3, t4, t5, f0, f1, f2, f3, f4, f5] = ends;
    packet.overwrite(0, &[f0, f1, f2, f3, f4, f5, t0, t1, t2, t3, t4, t5])?;

    let lengths = Change::between(&widened(old_udp), &widened(new_udp));
    let covered = Change::between(&query, &answer).plus(behind).plus(lengths);
    packet.correct_transport_checksum(at + 6, covered, Part::Transport, true)?;
    packet.correct_transport_checksum(at + 6, lengths, Part::BalancedAddresses, true)
}

/// What stands behind the question: nothing, or an OPT record, which may have a cookie.
#[inline(always)]
fn behind<P: Packet + ?Sized>(packet: &P, at: usize, end: usize) -> Result<Change, OutOfPacket> {
    match end - at {
        0 => Ok(Change::default()),
        OPT => {
            let mut old = [0; OPT];
            packet.load_header(at, &mut old)?;
            Ok(Change::of_some(&old))
        }
        _ => {
            let mut old = [0; OPT + COOKIE];
            packet.load_header(at, &mut old)?;
            Ok(Change::of_some(&old))
        }
    }
}

/// A UDP header's word for a length.
#[inline(always)]
fn length(bytes: usize) -> [u8; 2] {
    let [l0, l1, ..] = bytes.to_le_bytes();
    [l1, l0]
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

/// Writes the record behind the question; what it adds to a sum.
#[inline(always)]
fn records<P: Packet + ?Sized>(
    packet: &mut P,
    at: usize,
    message_at: usize,
    scratch: &Scratch,
    found: Found,
) -> Result<Change, OutOfPacket> {
    let [t0, t1, t2, t3] = scratch.resolver.ttl_s.to_be_bytes();
    match found {
        Found::Narrow => {
            let [a, b, c, d] = scratch.entry.narrow;
            let record = [0xc0, 0x0c, 0, 1, 0, 1, t0, t1, t2, t3, 0, 4, a, b, c, d];
            put::<P, NARROW>(packet, at, &record)
        }
        Found::Wide => {
            let record = [0xc0, 0x0c, 0, 28, 0, 1, t0, t1, t2, t3, 0, 16];
            let front = put(packet, at, &record)?;
            let address = put(packet, at + (WIDE - 16), &scratch.entry.wide)?;
            Ok(front.plus(address))
        }
        Found::NoData | Found::NoName => authority::<P>(packet, at, scratch, message_at),
    }
}

/// The record of the zone (RFC 1035, section 3.3.13): `ns.dns` and `hostmaster` below the domain.
#[inline(always)]
fn authority<P: Packet + ?Sized>(
    packet: &mut P,
    at: usize,
    scratch: &Scratch,
    message_at: usize,
) -> Result<Change, OutOfPacket> {
    let [a0, a1, ..] = (scratch.origin_at - message_at).to_le_bytes();
    let (p0, p1) = (0xc0 | a1, a0);
    let resolver = &scratch.resolver;
    let [t0, t1, t2, t3] = resolver.negative_ttl_s.to_be_bytes();
    let [s0, s1, s2, s3] = resolver.serial.to_be_bytes();
    let head = [p0, p1, 0, 6, 0, 1, t0, t1, t2, t3, 0, 42];
    let names = [
        2, b'n', b's', 3, b'd', b'n', b's', p0, p1, 10, b'h', b'o', b's', b't', b'm', b'a', b's',
        b't', b'e', b'r', p0, p1,
    ];
    let numbers = [
        s0, s1, s2, s3, 0, 0, 0x1c, 0x20, 0, 0, 0x07, 0x08, 0, 1, 0x51, 0x80, t0, t1, t2, t3,
    ];
    let sum = put(packet, at, &head)?;
    let sum = sum.plus(put(packet, at + 12, &names)?);
    Ok(sum.plus(put::<P, 20>(packet, at + (AUTHORITY - 20), &numbers)?))
}

/// Writes bytes at an even distance from the end of the question; what they add to a sum.
#[inline(always)]
fn put<P: Packet + ?Sized, const N: usize>(
    packet: &mut P,
    at: usize,
    bytes: &[u8; N],
) -> Result<Change, OutOfPacket> {
    packet.overwrite(at, bytes)?;
    Ok(Change::of_some(bytes))
}
