// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet that is run: bytes, and whether it was asked who the host is.

use lb_common::{
    family::WideAddress,
    packet::{Buffer, OutOfPacket, Packet},
};
use std::cell::Cell;

/// Bytes by which a packet may grow: an answer quotes less.
const GROWTH: usize = 256;

/// Room for a frame and what it may become.
pub(super) fn room(frame: &[u8]) -> Vec<u8> {
    let mut room = frame.to_vec();
    room.resize(frame.len().saturating_add(GROWTH), 0);
    room
}

/// One packet.
pub(super) struct Sample<'a> {
    buffer: Buffer<'a>,
    is_of_others: Cell<bool>,
}

impl<'a> Sample<'a> {
    /// The first bytes of a room are the packet, which comes by an interface.
    pub(super) fn new(room: &'a mut [u8], length: usize, ifindex: u32) -> Self {
        Self {
            buffer: Buffer::new(room, length).arriving_by(ifindex),
            is_of_others: Cell::new(false),
        }
    }

    /// The packet as it is now.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Whether it was taken for granted that the destination is no address of this host.
    pub(super) fn is_of_others(&self) -> bool {
        self.is_of_others.get()
    }
}

impl Packet for Sample<'_> {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.buffer.load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.buffer.store(at, bytes)
    }

    fn ifindex(&self) -> u32 {
        self.buffer.ifindex()
    }

    // Only the kernel knows, and answers for the interface that a packet has come in by.
    fn is_for_host(&self, _family: u8, _source: &WideAddress, _destination: &WideAddress) -> bool {
        self.is_of_others.set(true);
        false
    }

    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        self.buffer.blank(length)
    }
}
