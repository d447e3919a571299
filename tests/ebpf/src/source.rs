// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source of packets: each is the same frame, but for a number of 16 bits in it.

/// Length of a frame, which holds a question for a Service's name. Shorter packets are padded, as
/// Ethernet does.
pub const LENGTH: usize = 104;

/// Where in a frame the number stands, and, twice, where its complement does.
///
/// A number and its complement add up to nothing in an Internet checksum (RFC 1071): so a checksum
/// that covers one of each is right in all frames if it is so in the one with 0 and 0xffff.
pub type Places = [u16; 3];

/// Which numbers there are: the bits of a counter that count, and those that are always set.
pub type Bits = [u16; 2];
