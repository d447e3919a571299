// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the packet path reaches bytes: load and store at an offset, nothing else.

use crate::csum::{Change, add_to};

/// Storing failed: the packet has no byte there, or the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreError;

/// One packet, from its Ethernet header on.
pub trait Packet {
    /// `N` bytes at an offset, or nothing when the packet is shorter.
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Overwrites `N` bytes at an offset.
    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), StoreError>;

    /// Whether a VLAN tag stands outside the bytes (the kernel keeps the outer one aside).
    fn has_offloaded_tag(&self) -> bool {
        false
    }

    /// Corrects the IPv4 header's checksum at an offset.
    fn correct_header_checksum(&mut self, at: usize, change: Change) -> Result<(), StoreError> {
        let check = self.load::<2>(at).ok_or(StoreError)?;
        self.store(at, &add_to(check, change))
    }

    /// Corrects a transport checksum at an offset for a change of what the checksum covers.
    ///
    /// `pseudo` tells that the change lies in the pseudo-header: where the sender left the sum to
    /// the NIC, only that part has been summed so far. `zero_is_none` is UDP's rule (RFC 768): a
    /// checksum of zero means "none" and stays; a computed zero is sent as all ones.
    fn correct_transport_checksum(
        &mut self,
        at: usize,
        change: Change,
        _pseudo: bool,
        zero_is_none: bool,
    ) -> Result<(), StoreError> {
        let check = self.load::<2>(at).ok_or(StoreError)?;
        if zero_is_none && check == [0; 2] {
            return Ok(());
        }
        let corrected = match add_to(check, change) {
            [0, 0] if zero_is_none => [0xff; 2],
            corrected => corrected,
        };
        self.store(at, &corrected)
    }
}

/// Plain bytes: what tests and `weiche explain` feed in.
impl Packet for [u8] {
    fn load<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), StoreError> {
        let target = self.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
        *target.ok_or(StoreError)? = *bytes;
        Ok(())
    }
}
