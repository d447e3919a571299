// SPDX-License-Identifier: MIT OR Apache-2.0
//! A query's bytes to a question: one that a resolver asks every day, or none.
//!
//! Whatever is odd about a message, even where it would be allowed, is the server's to judge.

use crate::family::Own;
use crate::packet::Packet;
use crate::parse::{Datagram, parse};
use crate::wire::{Labels, NameEntry, Resolver, protocol};
use core::hint::black_box;
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes as _, KnownLayout};

/// Room for a message, of which the longest that is read has 294 bytes: a power of two, so that
/// any offset can be made one of it.
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
const COOKIE: usize = 12;

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
    /// The end of the name, which may be the domain.
    pub origin: Labels,
    /// What stands behind the question in the answer.
    pub tail: [u8; 72],
    /// What stood there in the query.
    pub old_tail: [u8; 24],
    /// The query.
    pub message: [u8; MESSAGE],
    /// Where the labels of the name begin.
    pub starts: [u16; STARTS],
    /// Where the message begins in the packet.
    pub message_at: usize,
    /// Its bytes.
    pub length: usize,
    /// Where the question ends in it.
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
    /// The word that begins at an offset, with a label's length and its first letters in lower
    /// case, the length in its lowest byte.
    #[inline(always)]
    pub(super) fn label_at(&self, index: usize) -> u64 {
        let at = self.start(index);
        let mut word = [0; 8];
        let mut letter = 0;
        while letter < word.len() {
            if let Some(byte) = word.get_mut(letter) {
                *byte = self.byte(at + letter);
            }
            letter += 1;
        }
        lower(u64::from_le_bytes(word))
    }

    /// Where a label begins.
    #[inline(always)]
    pub(super) fn start(&self, index: usize) -> usize {
        usize::from(self.starts.get(index & (STARTS - 1)).copied().unwrap_or(0))
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        // The compiler may know that it is an offset of the message, and leave out what shows it to
        // the verifier, which knows it of another register.
        let at = black_box(at) & (MESSAGE - 1);
        self.message.get(at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn pair(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.byte(at), self.byte(at + 1)])
    }
}

/// Reads a query; none: it is not one that is answered here.
///
/// Out of line: what it keeps on the stack is gone when the deep calls come.
#[inline(never)]
pub(super) fn read<F: Own, P: Packet + ?Sized>(
    packet: &P,
    datagram: &mut Datagram<F::Address>,
    scratch: &mut Scratch,
) -> Option<()> {
    parse::<F, P>(packet, datagram).ok()?;
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
    let (at, room) = (F::TRANSPORT_AT + 8, datagram.end - F::TRANSPORT_AT);
    // The answer's checksum is made of the query's.
    if length != room || check == [0; 2] {
        return None;
    }
    let length = length.checked_sub(8)?;
    if !(HEADER + 5..=LONGEST).contains(&length) {
        return None;
    }
    scratch.message_at = at;
    packet.load_some(at, length, &mut scratch.message).ok()?;
    scratch.length = length;
    message(scratch)?;
    domain(packet, scratch)
}

/// Reads the message: one question of the Internet's class, and EDNS perhaps.
#[inline(always)]
fn message(scratch: &mut Scratch) -> Option<()> {
    let [
        _,
        _,
        flags,
        more,
        q0,
        q1,
        n0,
        n1,
        s0,
        s1,
        r0,
        additional,
        ..,
    ] = scratch.message;
    // A query: RD may be set, and AD and CD (RFC 6895, section 2).
    let is_query = flags & !0x01 == 0 && more & !0x30 == 0;
    let is_single = [q0, q1, n0, n1, s0, s1, r0] == [0, 1, 0, 0, 0, 0, 0] && additional <= 1;
    if !is_query || !is_single {
        return None;
    }
    let name_end = walk(scratch)?;
    let question_end = name_end + 4;
    if name_end > HEADER + NAME || question_end > scratch.length {
        return None;
    }
    let (kind, class) = (scratch.pair(name_end), scratch.pair(name_end + 2));
    let is_record = kind != 0 && kind < 249 || kind >= 256;
    if class != 1 || !is_record || META.contains(&kind) {
        return None;
    }
    scratch.kind = kind;
    scratch.question_end = question_end;
    scratch.has_opt = additional;
    let rest = scratch.length - question_end;
    if additional == 0 {
        return (rest == 0).then_some(());
    }
    opt(scratch, question_end, rest)
}

/// Finds where the labels of the name begin; where the name ends.
#[inline(always)]
fn walk(scratch: &mut Scratch) -> Option<usize> {
    let (mut at, mut count) = (HEADER, 0_usize);
    while count < LABELS {
        let length = scratch.byte(at);
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
fn opt(scratch: &Scratch, at: usize, rest: usize) -> Option<()> {
    let root_and_type = [scratch.byte(at), scratch.byte(at + 1), scratch.byte(at + 2)];
    // The code's upper bits, the version, and flags, of which "DNSSEC OK" changes nothing.
    let [code, version, flags, more] = [5, 6, 7, 8].map(|place| scratch.byte(at + place));
    let is_plain =
        root_and_type == [0, 0, 41] && (code, version, flags & 0x7f, more) == (0, 0, 0, 0);
    let options = usize::from(scratch.pair(at + 9));
    if !is_plain || rest != OPT + options {
        return None;
    }
    let is_cookie =
        options == COOKIE && scratch.pair(at + OPT) == 10 && scratch.pair(at + OPT + 2) == 8;
    (options == 0 || is_cookie).then_some(())
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
    scratch.origin = Labels::new_zeroed();
    let origin: &mut [u8; Labels::ROOM] = scratch.origin.as_mut_bytes().first_chunk_mut()?;
    packet
        .load_some(scratch.message_at + origin_at, length, origin)
        .ok()?;
    for (asked, own) in scratch
        .origin
        .words
        .iter()
        .zip(&scratch.resolver.origin.words)
    {
        // Where the domain ends, the name does.
        if *own == 0 {
            break;
        }
        // One word after the other: all at once, the verifier would follow each way to a sum.
        if black_box(lower(*asked)) != *own {
            return None;
        }
    }
    Some(())
}

/// Eight bytes, letters among them in lower case; lengths of labels are less than letters.
#[inline(always)]
pub(super) fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (EACH * 0x7f);
    // Their upper bits say: at least `A` (0x41), more than `Z` (0x5a).
    let from = low + EACH * (0x80 - 0x41);
    let beyond = low + EACH * (0x7f - 0x5a);
    let is_upper = from & !beyond & !word & (EACH * 0x80);
    word | (is_upper >> 2)
}
