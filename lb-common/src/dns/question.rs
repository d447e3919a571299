// SPDX-License-Identifier: MIT OR Apache-2.0
//! A query's bytes to a question: one that a resolver asks every day, or none.
//!
//! Whatever is odd about a message, even where it would be allowed, is the server's to judge.

use crate::family::Own;
use crate::packet::Packet;
use crate::parse::Datagram;
use crate::wire::{Labels, NameEntry, Resolver, protocol};
use core::hint::black_box;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Room for a message that is shown to the agent.
pub const MESSAGE: usize = 512;
const LONGEST: usize = HEADER + NAME + 4 + OPT + COOKIE;
/// A message's header (RFC 1035, section 4.1.1).
pub(super) const HEADER: usize = 12;
/// The longest name (RFC 1035, section 2.3.4).
const NAME: usize = 255;
/// Labels of a name at most: no name that anybody has looked for has as many, and what encodes
/// answers in user space forgets where labels stand after 64 of them.
const LABELS: usize = 40;
const STARTS: usize = 64;
/// An OPT record without options (RFC 6891, section 6.1.2), and one option: a client's cookie (RFC
/// 7873, section 4.1), which `dig` sends.
pub(super) const OPT: usize = 11;
pub(super) const COOKIE: usize = 12;

/// Types that are no types of records, or mean something else (RFC 6895, section 3.1): SIG, OPT,
/// and all from TKEY to ANY.
const META: [u16; 2] = [24, 41];

/// What a query is taken apart in. Any bytes are a valid start.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub struct Scratch {
    /// Where it is asked, and what all answers have in common.
    pub resolver: Resolver,
    /// What the name stands for.
    pub entry: NameEntry,
    /// The name's key in the map.
    pub key: Labels,
    /// A message that is shown to the agent.
    pub message: [u8; MESSAGE],
    /// Where the labels of the name begin in the packet.
    pub starts: [u16; STARTS],
    /// Bytes of `message`.
    pub length: usize,
    /// Where the question ends in the packet.
    pub question_end: usize,
    /// Where the domain begins in it.
    pub origin_at: usize,
    /// Labels of the name.
    pub count: usize,
    /// Those below the domain.
    pub below: usize,
    /// The type that is asked for.
    pub kind: u16,
    /// Whether it has an OPT record; 0 = no.
    pub has_opt: u8,
    /// Nothing.
    pub pad: [u8; 5],
}

impl Scratch {
    /// Where a label begins.
    #[inline(always)]
    pub(super) fn start(&self, index: usize) -> usize {
        usize::from(self.starts.get(index & (STARTS - 1)).copied().unwrap_or(0))
    }
}

/// Reads a query out of a datagram that was parsed; none: it is not one that is answered here.
///
/// It is read where it stands: to copy it would take longer than all of that. Out of line: what it
/// keeps on the stack is gone when the deep calls come.
#[inline(never)]
pub(super) fn read<F: Own, P: Packet + ?Sized>(
    packet: &P,
    datagram: &Datagram<F::Address>,
    scratch: &mut Scratch,
) -> Option<()> {
    let tuple = &datagram.tuple;
    // Only a header without options or extensions can be written anew.
    let is_plain = datagram.transport_at == F::TRANSPORT_AT
        && datagram.is_first == 0
        && tuple.protocol == protocol::UDP
        && F::is_host(&tuple.source)
        && tuple.source_port != [0; 2];
    let mut ends = [0; 12];
    packet.load_header(0, &mut ends).ok()?;
    let [to, _, _, _, _, _, from, ..] = ends;
    // The first bit on the wire: a group of stations (IEEE 802).
    if !is_plain || (to | from) & 1 != 0 {
        return None;
    }
    let mut header = [0; 8];
    packet.load_header(F::TRANSPORT_AT, &mut header).ok()?;
    let [_, _, _, _, l0, l1, check @ ..] = header;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let room = datagram.end.checked_sub(F::TRANSPORT_AT)?;
    // The answer's checksum is made of the query's.
    if length != room || check == [0; 2] {
        return None;
    }
    let length = length.checked_sub(8)?;
    if !(HEADER + 5..=LONGEST).contains(&length) {
        return None;
    }
    message(packet, F::TRANSPORT_AT + 8, datagram.end, scratch)?;
    domain(packet, scratch)
}

/// Reads the message: one question of the Internet's class, and EDNS perhaps.
#[inline(always)]
fn message<P: Packet + ?Sized>(
    packet: &P,
    at: usize,
    end: usize,
    scratch: &mut Scratch,
) -> Option<()> {
    let mut header = [0; HEADER];
    packet.load_header(at, &mut header).ok()?;
    let [_, _, flags, more, q0, q1, n0, n1, s0, s1, r0, additional] = header;
    // A query: RD may be set, and AD and CD (RFC 6895, section 2).
    let is_query = flags & !0x01 == 0 && more & !0x30 == 0;
    let is_single = [q0, q1, n0, n1, s0, s1, r0] == [0, 1, 0, 0, 0, 0, 0] && additional <= 1;
    if !is_query || !is_single {
        return None;
    }
    let name_end = walk(packet, at + HEADER, scratch)?;
    let question_end = name_end + 4;
    if name_end > at + HEADER + NAME || question_end > end {
        return None;
    }
    let mut kind_and_class = [0; 4];
    packet.load_header(name_end, &mut kind_and_class).ok()?;
    let [k0, k1, class @ ..] = kind_and_class;
    let kind = u16::from_be_bytes([k0, k1]);
    let is_record = kind != 0 && kind < 249 || kind >= 256;
    if class != [0, 1] || !is_record || META.contains(&kind) {
        return None;
    }
    scratch.kind = kind;
    scratch.question_end = question_end;
    scratch.has_opt = additional;
    let rest = end - question_end;
    if additional == 0 {
        return (rest == 0).then_some(());
    }
    opt(packet, question_end, rest)
}

/// Finds where the labels of the name begin; where the name ends.
#[inline(always)]
fn walk<P: Packet + ?Sized>(packet: &P, at: usize, scratch: &mut Scratch) -> Option<usize> {
    let (mut at, mut count) = (at, 0_usize);
    while count < LABELS {
        let mut length = [0];
        packet.load_header(at, &mut length).ok()?;
        let [length] = length;
        // More than 63 is a pointer, or nothing that is known (RFC 1035, section 4.1.4).
        if length > 63 {
            return None;
        }
        let [a0, a1, ..] = at.to_le_bytes();
        if let Some(start) = scratch.starts.get_mut(count & (STARTS - 1)) {
            *start = u16::from_le_bytes([a0, a1]);
        }
        if length == 0 {
            scratch.count = count;
            return Some(at + 1);
        }
        at += 1 + usize::from(length);
        count += 1;
    }
    None
}

/// Reads an OPT record, behind which nothing follows.
#[inline(always)]
fn opt<P: Packet + ?Sized>(packet: &P, at: usize, rest: usize) -> Option<()> {
    let mut record = [0; OPT];
    packet.load_header(at, &mut record).ok()?;
    // The code's upper bits, the version, and flags, of which "DNSSEC OK" changes nothing.
    let [root, t0, t1, _, _, code, version, flags, more, o0, o1] = record;
    let is_plain =
        [root, t0, t1] == [0, 0, 41] && [code, version, flags & 0x7f, more] == [0, 0, 0, 0];
    let options = usize::from(u16::from_be_bytes([o0, o1]));
    if !is_plain || rest != OPT + options {
        return None;
    }
    if options == 0 {
        return Some(());
    }
    let mut option = [0; COOKIE];
    packet.load_header(at + OPT, &mut option).ok()?;
    let [c0, c1, l0, l1, ..] = option;
    (options == COOKIE && [c0, c1, l0, l1] == [0, 10, 0, 8]).then_some(())
}

/// Whether the name is one below the domain, and where that begins.
#[inline(always)]
fn domain<P: Packet + ?Sized>(packet: &P, scratch: &mut Scratch) -> Option<()> {
    let below = scratch
        .count
        .checked_sub(usize::from(scratch.resolver.label_count))?;
    let (origin_at, end) = (scratch.start(below), scratch.question_end - 4);
    let length = end.checked_sub(origin_at)?;
    if below == 0 || Ok(length) != usize::try_from(scratch.resolver.origin_length) {
        return None;
    }
    scratch.below = below;
    scratch.origin_at = origin_at;
    let mut passed = 0;
    for own in &scratch.resolver.origin.words {
        // Where the domain ends, the name does.
        if *own == 0 {
            break;
        }
        let asked = word(packet, origin_at + passed, length.checked_sub(passed)?)?;
        // One word after the other: all at once, the verifier would follow each way to a sum.
        if black_box(asked) != *own {
            return None;
        }
        passed += 8;
    }
    Some(())
}

/// Up to eight bytes of a name of which so many are left, at least one; letters in lower case,
/// zeros behind them.
#[inline(always)]
pub(super) fn word<P: Packet + ?Sized>(packet: &P, at: usize, left: usize) -> Option<u64> {
    // A type and a class follow each name: so eight bytes that begin four earlier are there.
    let earlier = if left < 4 { 4 } else { 0 };
    let mut bytes = [0; 8];
    packet.load_header(at - earlier, &mut bytes).ok()?;
    let (word, spare) = (u64::from_le_bytes(bytes), 8 - left.min(8));
    Some(lower((word >> (8 * earlier)) & (u64::MAX >> (8 * spare))))
}

/// Eight bytes, letters among them in lower case; lengths of labels are less than letters.
#[inline(always)]
fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (EACH * 0x7f);
    // Their upper bits say: at least `A` (0x41), more than `Z` (0x5a).
    let from = low + EACH * (0x80 - 0x41);
    let beyond = low + EACH * (0x7f - 0x5a);
    let is_upper = from & !beyond & !word & (EACH * 0x80);
    word | (is_upper >> 2)
}
