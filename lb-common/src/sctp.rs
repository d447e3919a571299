// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCTP's checksum, CRC-32C over the whole packet (RFC 9260, section 6.8), corrected for other
//! ports without reading the packet.
//!
//! A CRC is linear: flipping some bits flips the same bits of the CRC, whatever else the packet
//! holds. The ports are its first word, so the change is that word times a power of x, which
//! depends on the packet's length alone, modulo the CRC's polynomial. Polynomials are bit-reversed,
//! as the CRC is: the highest bit of a word is the term 1, the lowest x^31.

use crate::packet::{OutOfPacket, Packet};
use core::hint::black_box;

/// Bytes of the common header: ports, verification tag, checksum.
pub const HEADER: usize = 12;
/// Where the checksum stands; its first byte is the lowest.
const CHECKSUM_AT: usize = 8;

/// CRC-32C's polynomial without its term x^32 (RFC 9260, appendix A; Castagnoli).
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What a packet of 2^k bytes multiplies its first word by: x^(8 * 2^k), for each bit of a length.
static POWERS: [u32; 16] = powers();

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn powers() -> [u32; 16] {
    // x^8.
    let mut powers = [1 << 23; 16];
    let mut bit = 1;
    while bit < powers.len() {
        powers[bit] = square(powers[bit - 1]);
        bit += 1;
    }
    powers
}

/// A polynomial times itself, modulo CRC-32C's; at compile time, where branches cost nothing.
const fn square(a: u32) -> u32 {
    let (mut left, mut shifted, mut sum) = (a, a, 0);
    while left != 0 {
        if left >> 31 == 1 {
            sum ^= shifted;
        }
        left <<= 1;
        shifted = (shifted >> 1) ^ if shifted & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    sum
}

/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// All ones where the lowest bit is set, otherwise zero: in place of branches, whose two ways the
/// verifier would follow for each bit, to all their ends.
#[inline(always)]
fn mask(word: u32) -> u32 {
    black_box(0_u32.wrapping_sub(word & 1))
}

/// The product of two polynomials, modulo CRC-32C's.
#[inline(always)]
fn product(a: u32, b: u32) -> u32 {
    let (mut a, mut b, mut sum) = (a, b, 0);
    let mut bit = 0;
    while bit < 32 {
        sum ^= b & mask(a >> 31);
        a <<= 1;
        b = (b >> 1) ^ (POLYNOMIAL & mask(b));
        bit += 1;
    }
    sum
}

/// What another first word changes in the CRC of so many bytes.
#[inline(always)]
fn change(old: [u8; 4], new: [u8; 4], length: u32) -> u32 {
    let mut change = u32::from_le_bytes(old) ^ u32::from_le_bytes(new);
    for (bit, power) in (0..16_u32).zip(&POWERS) {
        let factor = ONE ^ ((ONE ^ *power) & mask(length >> bit));
        change = product(factor, change);
    }
    change
}

/// Corrects the checksum of the SCTP packet between two offsets for other ports.
///
/// A checksum of zero stays: it says that both ends do without (RFC 9653).
///
/// Out of line: the loops keep many registers busy.
#[inline(never)]
pub fn correct<P: Packet + ?Sized>(
    packet: &mut P,
    at: usize,
    end: usize,
    old: [u8; 4],
    new: [u8; 4],
) -> Result<(), OutOfPacket> {
    let mut check = [0; 4];
    packet.load(at + CHECKSUM_AT, &mut check)?;
    if old == new || check == [0; 4] {
        return Ok(());
    }
    let length = u32::try_from(end - at).unwrap_or(0);
    let corrected = u32::from_le_bytes(check) ^ change(old, new, length);
    packet.store(at + CHECKSUM_AT, &corrected.to_le_bytes())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// Bit by bit, as the definition says.
    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 }
            })
        })
    }

    #[test]
    fn the_definition_is_the_known_one() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_correction_is_what_a_recomputation_gives() {
        let mut word = 0x9e37_79b9_u32;
        for length in (HEADER..200).chain([1_499, 4_096, 65_515, 65_535]) {
            let mut packet = std::vec![0_u8; length];
            let packet = &mut packet[..];
            for byte in packet.iter_mut() {
                word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = word.to_be_bytes()[0];
            }
            packet[8..12].fill(0);
            let check = crc32c(packet);
            packet[8..12].copy_from_slice(&check.to_le_bytes());
            let old = *packet.first_chunk().expect("four bytes");
            let new = word.to_le_bytes();
            correct(packet, 0, length, old, new).expect("within the packet");
            packet[..4].copy_from_slice(&new);
            let corrected: [u8; 4] = packet[8..12].try_into().expect("four bytes");
            packet[8..12].fill(0);
            assert_eq!(corrected, crc32c(packet).to_le_bytes(), "{length} bytes");
        }
    }

    #[test]
    fn no_checksum_stays_none() {
        let mut packet = [0; 40];
        correct(&mut packet[..], 0, 40, [0; 4], [1; 4]).expect("within the packet");
        assert_eq!(packet[8..12], [0; 4]);
    }
}
