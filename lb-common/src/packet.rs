// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the packet path reaches bytes: load and store at an offset, and another length.

use crate::csum::{Change, add_to, corrected};
use crate::delivery::{Arrival, Routed, Way};
use crate::family::{NETWORK_AT, WideAddress};
use crate::wire::{Route, SocketEnds};

/// The packet has no byte there, or the kernel refused to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfPacket;

/// What of a transport checksum's cover changes. The kernel asks: a sender may have left the sum
/// to the NIC, so that only the pseudo-header is in it so far; or a NIC may have summed the
/// packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Ports: the transport header itself.
    Transport,
    /// Addresses, in a family whose own header has a checksum that balances them (IPv4).
    BalancedAddresses,
    /// Addresses, in a family whose own header has none (IPv6).
    Addresses,
}

/// What a tunnel puts before an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many bytes.
    pub bytes: usize,
    /// `EtherType` of the outer IP header, as of the inner one.
    pub ethertype: u16,
    /// Whether UDP follows the outer IP header.
    pub has_udp: bool,
}

/// One packet, from its Ethernet header on.
pub trait Packet {
    /// Copies the bytes at an offset.
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket>;

    /// The same, for what every packet has and every run reads: in a BPF program it costs less, and
    /// the verifier more.
    fn load_header<const N: usize>(
        &self,
        at: usize,
        into: &mut [u8; N],
    ) -> Result<(), OutOfPacket> {
        self.load(at, into)
    }

    /// Where a packet ends that is longer than an IP header can say, which then says 0: of segments
    /// that the host carries as one (Linux calls it BIG TCP; `iph_totlen` of `linux/ip.h`).
    fn long_end(&self) -> Option<usize> {
        None
    }

    /// Overwrites the bytes at an offset.
    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket>;

    /// The same, after [`Packet::resize`]: in a BPF program it costs less. One that does so once
    /// has the kernel make each of its packets its own first (`bpf_unclone_prologue`), so it is for
    /// programs that write into all of them.
    fn overwrite<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.store(at, bytes)
    }

    /// Overwrites the bytes at an offset that no checksum in the packet covers, or balances.
    fn store_uncovered<const N: usize>(
        &mut self,
        at: usize,
        bytes: &[u8; N],
    ) -> Result<(), OutOfPacket> {
        self.store(at, bytes)
    }

    /// Whether this host would not route a packet like this one, because the destination is its
    /// own. `family` is Linux's number.
    fn is_for_host(&self, _family: u8, _source: &WideAddress, _destination: &WideAddress) -> bool {
        false
    }

    /// Whether a socket of this host's would get what is sent from the first end to the second.
    fn has_socket<A>(&self, _protocol: u8, _ends: &SocketEnds<A>) -> bool {
        false
    }

    /// Copies so many bytes at an offset, at least one and at most all. This and the next one are
    /// for messages of the DNS Service's, which not everybody holds.
    fn load_some<const N: usize>(
        &self,
        _at: usize,
        _length: usize,
        _into: &mut [u8; N],
    ) -> Result<(), OutOfPacket> {
        Err(OutOfPacket)
    }

    /// Gives it another length; what is new at its end is still to be written.
    fn resize(&mut self, _length: usize) -> Result<(), OutOfPacket> {
        Err(OutOfPacket)
    }

    /// The interface that it came by, if it was sent to another station: a switch that has lost
    /// that one shows its packets to everybody.
    fn overheard_by(&self) -> Option<u32> {
        None
    }

    /// What is to be known of a packet that goes on without the host's stack; nothing where it may
    /// not: it was sent to another station, or bears a tag. By its own word it ends at `end`.
    fn arrival(&self, _end: usize) -> Option<Arrival> {
        None
    }

    /// The interface that it came by; 0 = by none.
    fn ifindex(&self) -> u32 {
        0
    }

    /// Asks the host's routing table; whether a packet like that would be sent on, out of
    /// `question.ifindex`.
    fn route(&self, _question: &mut Route) -> Routed {
        Routed::Nowhere
    }

    /// Has the packet handed to its next hop when the program ends.
    fn send(&mut self, _way: Way, _route: &Route) {}

    /// Whether it can only be sent to a station that is written in already: there is no stack yet
    /// that would find its next hop's.
    fn needs_station(&self) -> bool {
        false
    }

    /// Makes room before the IP header for what a tunnel puts there, still to be written.
    fn enter(&mut self, _room: Room) -> Result<(), OutOfPacket> {
        Err(OutOfPacket)
    }

    /// Takes so many bytes away before the IP header: what a tunnel has put there.
    fn leave(&mut self, _room: Room) -> Result<(), OutOfPacket> {
        Err(OutOfPacket)
    }

    /// Has the answer that the packet becomes sent this way, and not back where it came from: who
    /// has sent it is not who is answered.
    fn answer_by_route(&mut self, _route: &Route) {}

    /// Makes it a packet of this length, to be written anew: what its bytes are afterwards depends
    /// on who does it. What a sender or a NIC has left half made of checksums is forgotten.
    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket>;

    /// Whether a VLAN tag stands outside the bytes (the kernel keeps the outer one aside) and names
    /// a VLAN: one that does not, of a priority alone, the kernel takes off and goes on as if it
    /// had not been there (IEEE 802.1Q, section 6.9; `__netif_receive_skb_core`).
    fn has_offloaded_tag(&self) -> bool {
        false
    }

    /// Takes note of a change that no checksum in the packet balances: a NIC may have summed it.
    fn account_for(&mut self, _change: Change) {}

    /// Corrects the IPv4 header's checksum at an offset.
    fn correct_header_checksum(&mut self, at: usize, change: Change) -> Result<(), OutOfPacket> {
        let mut check = [0; 2];
        self.load(at, &mut check)?;
        self.store(at, &add_to(check, change))
    }

    /// Corrects a transport checksum at an offset for a change of what it covers, as
    /// [`corrected`] does.
    fn correct_transport_checksum(
        &mut self,
        at: usize,
        change: Change,
        _part: Part,
        zero_is_none: bool,
    ) -> Result<(), OutOfPacket> {
        let mut check = [0; 2];
        self.load(at, &mut check)?;
        match corrected(check, change, zero_is_none) {
            Some(corrected) => self.store(at, &corrected),
            None => Ok(()),
        }
    }
}

/// Plain bytes, which cannot become another packet.
impl Packet for [u8] {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        let bytes = self.get(at..).and_then(<[u8]>::first_chunk);
        *into = *bytes.ok_or(OutOfPacket)?;
        Ok(())
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        let target = self.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
        *target.ok_or(OutOfPacket)? = *bytes;
        Ok(())
    }

    fn load_some<const N: usize>(
        &self,
        at: usize,
        length: usize,
        into: &mut [u8; N],
    ) -> Result<(), OutOfPacket> {
        let bytes = self.get(at..).and_then(|rest| rest.get(..length));
        let bytes = bytes.filter(|bytes| !bytes.is_empty()).ok_or(OutOfPacket)?;
        let room = into.get_mut(..length).ok_or(OutOfPacket)?;
        room.copy_from_slice(bytes);
        Ok(())
    }

    fn blank(&mut self, _length: usize) -> Result<(), OutOfPacket> {
        Err(OutOfPacket)
    }
}

/// Plain bytes with room to grow: what tests and `weiche explain` feed in.
#[derive(Debug)]
pub struct Buffer<'a> {
    room: &'a mut [u8],
    length: usize,
    ifindex: u32,
}

impl<'a> Buffer<'a> {
    /// The first bytes of a room are the packet.
    pub fn new(room: &'a mut [u8], length: usize) -> Self {
        let length = length.min(room.len());
        Self {
            room,
            length,
            ifindex: 0,
        }
    }

    /// The packet comes by an interface.
    #[must_use]
    pub fn arriving_by(self, ifindex: u32) -> Self {
        Self { ifindex, ..self }
    }

    /// The packet as it is now.
    pub fn bytes(&self) -> &[u8] {
        self.room.get(..self.length).unwrap_or_default()
    }
}

impl Packet for Buffer<'_> {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.bytes().load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        let packet = self.room.get_mut(..self.length).unwrap_or_default();
        packet.store(at, bytes)
    }

    fn load_some<const N: usize>(
        &self,
        at: usize,
        length: usize,
        into: &mut [u8; N],
    ) -> Result<(), OutOfPacket> {
        self.bytes().load_some(at, length, into)
    }

    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn resize(&mut self, length: usize) -> Result<(), OutOfPacket> {
        let new = self.room.get_mut(self.length.min(length)..length);
        // As in `blank`.
        new.ok_or(OutOfPacket)?.fill(0xa5);
        self.length = length;
        Ok(())
    }

    fn leave(&mut self, room: Room) -> Result<(), OutOfPacket> {
        let inner = NETWORK_AT.wrapping_add(room.bytes);
        let length = self.length.checked_sub(room.bytes).ok_or(OutOfPacket)?;
        if inner > self.length {
            return Err(OutOfPacket);
        }
        self.room.copy_within(inner..self.length, NETWORK_AT);
        self.length = length;
        Ok(())
    }

    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        // Whoever relies on what was there, or on zeros, shall find neither.
        self.room.get_mut(..length).ok_or(OutOfPacket)?.fill(0xa5);
        self.length = length;
        Ok(())
    }
}
