// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a question to what is known of it.

use super::question::{Scratch, word};
use crate::packet::Packet;
use crate::tables::Environment;
use crate::wire::{Labels, NameKind};

/// What there is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The Service's IPv4 address.
    Narrow,
    /// Its IPv6 address.
    Wide,
    /// The name is there, and has nothing of this type.
    NoData,
    /// No such name.
    NoName,
}

/// Types of records (RFC 1035, RFC 3596).
const A: u16 = 1;
const AAAA: u16 = 28;

/// What is known of the name that was read; none: not all of it, or nothing for certain.
///
/// Out of line, as reading is.
#[inline(never)]
pub(super) fn find<P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &T,
    scratch: &mut Scratch,
) -> Option<Found> {
    let found = known(packet, tables, scratch)?;
    let is_negative = matches!(found, Found::NoData | Found::NoName);
    let lease = scratch.resolver.negative_until_ns;
    (!is_negative || tables.about_now_ns() < lease).then_some(found)
}

#[inline(always)]
fn known<P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &T,
    scratch: &mut Scratch,
) -> Option<Found> {
    let below = scratch.below;
    let uppermost = word(packet, scratch.start(below - 1), 8)?;
    // Of a short label, what stands behind it is no part of the word.
    let [length, ..] = uppermost.to_le_bytes();
    let own = u64::MAX >> (56 - 8 * u32::from(length.min(7)));
    for passed in &scratch.resolver.passed {
        if uppermost & own == *passed {
            return None;
        }
    }
    if !begins(uppermost, b"\x03svc") {
        // The first is a name that is there, and the others stand in the answer, which would be
        // shortened by them.
        let is_special = begins(uppermost, b"\x0bdns-ver")
            || begins(uppermost, b"\x03dns")
            || begins(uppermost, b"\x0ahostmas");
        return (!is_special).then_some(Found::NoName);
    }
    let depth = match below {
        0 | 1 => return None,
        2 => 1,
        _ => 2,
    };
    let key_at = scratch.start(below - 1 - depth);
    let length = scratch.start(below - 1).checked_sub(key_at)?;
    if length > Labels::ROOM {
        return None;
    }
    let mut passed = 0;
    for part in &mut scratch.key.words {
        *part = if passed < length {
            word(packet, key_at + passed, length - passed)?
        } else {
            0
        };
        passed += 8;
    }
    match tables.name(&scratch.key, &mut scratch.entry) {
        Ok(None) => return Some(Found::NoName),
        Ok(Some(())) => {}
        Err(_torn) => return None,
    }
    match NameKind::from_number(scratch.entry.kind) {
        NameKind::Namespace if depth == 1 => Some(Found::NoData),
        NameKind::Service if below == 3 => Some(match scratch.kind {
            A if scratch.entry.narrow != [0; 4] => Found::Narrow,
            AAAA if scratch.entry.wide != [0; 16] => Found::Wide,
            _ => Found::NoData,
        }),
        // Only ports have names below it, which begin like this.
        NameKind::Service if depth == 2 && below > 3 => {
            let [_, first, ..] = word(packet, scratch.start(below - 4), 8)?.to_le_bytes();
            (first != b'_').then_some(Found::NoName)
        }
        _ => None,
    }
}

/// Whether a label begins with this length and these letters.
#[inline(always)]
fn begins<const N: usize>(label: u64, with: &[u8; N]) -> bool {
    label.to_le_bytes().first_chunk() == Some(with)
}
