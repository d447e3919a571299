// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Packet bytes before there is an skb. Checksums in them are whole: a NIC has them off the wire.

use crate::{
    clock, hop,
    skb::{LINEAR, bounded, done},
    words,
};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        xdp_action::{XDP_DROP, XDP_REDIRECT, XDP_TX},
        xdp_md,
    },
    helpers::generated::{
        bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
    },
    programs::XdpContext,
};
use lb_common::{
    delivery::{Arrival, Routed, Way},
    family::{NETWORK_AT, WideAddress},
    packet::{OutOfPacket, Packet, Room},
    wire::{Route, SocketEnds},
};

/// A packet at an XDP hook.
pub(crate) struct Xdp {
    xdp: *mut xdp_md,
    /// What the hook is to return for a packet that has been handed over.
    pub(crate) sent: u32,
}

impl Xdp {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self {
            xdp: ctx.as_ptr().cast(),
            sent: XDP_DROP,
        }
    }

    /// Where N bytes at an offset are. Of a packet of several buffers the program reaches the first
    /// one, in which there are all headers: a driver that has less there leaves the packet to TC.
    #[inline(always)]
    fn linear<const N: usize>(&self, at: usize) -> Option<usize> {
        if at > LINEAR {
            return None;
        }
        let (begin, end) = self.ends();
        let from = begin + bounded(at);
        (from + N <= end).then_some(from)
    }

    /// How much of it is there: all, but of a packet of several buffers.
    #[inline(always)]
    fn first_buffer(&self) -> usize {
        let (begin, end) = self.ends();
        end.wrapping_sub(begin)
    }

    /// Where the first buffer begins and ends.
    #[inline(always)]
    fn ends(&self) -> (usize, usize) {
        // Volatile, or the compiler may hand what it has read to a function, as a number of 32
        // bits that it has to widen there: the verifier knows it for a pointer.
        // SAFETY: the kernel hands every XDP program a valid context.
        let begin = unsafe { &raw const (*self.xdp).data };
        // SAFETY: as above.
        let end = unsafe { &raw const (*self.xdp).data_end };
        // SAFETY: as above.
        let begin = (unsafe { begin.read_volatile() }) as usize;
        // SAFETY: as above.
        let end = (unsafe { end.read_volatile() }) as usize;
        (begin, end)
    }

    /// How long it is, all its buffers together.
    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the kernel hands every XDP program a valid context.
        (unsafe { bpf_xdp_get_buff_len(self.xdp) }) as u32
    }
}

impl Packet for Xdp {
    #[inline(always)]
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        let from = self.linear::<N>(at).ok_or(OutOfPacket)?;
        // SAFETY: N bytes of the packet.
        let words = unsafe { words::read::<N>(from) };
        words::write(&words, into);
        Ok(())
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        let to = self.linear::<N>(at).ok_or(OutOfPacket)?;
        // SAFETY: N bytes of the packet.
        unsafe { words::store::<N>(&words::of(bytes), to) };
        Ok(())
    }

    #[inline(always)]
    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        let more = (length as u32).wrapping_sub(self.length()).cast_signed();
        // SAFETY: the helper checks lengths itself.
        done(unsafe { bpf_xdp_adjust_tail(self.xdp, more) })
    }

    #[inline(always)]
    fn is_for_host(&self, family: u8, source: &WideAddress, destination: &WideAddress) -> bool {
        hop::is_for_host(self.xdp.cast(), self.ifindex(), family, source, destination)
    }

    #[inline(always)]
    fn arrival(&self, end: usize) -> Option<Arrival> {
        // A test's packets go nowhere.
        if clock::is_injected() {
            return None;
        }
        // Of most packets there is one buffer, and no need for a call to learn of more.
        let first = self.first_buffer();
        let length = if end <= first {
            first as u32
        } else {
            self.length()
        };
        Some(Arrival {
            ifindex: self.ifindex(),
            length,
            segment: 0,
        })
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the kernel hands every XDP program a valid context.
        unsafe { (*self.xdp).ingress_ifindex }
    }

    #[inline(always)]
    fn has_socket<A>(&self, protocol: u8, ends: &SocketEnds<A>) -> bool {
        hop::has_socket(self.xdp.cast(), protocol, ends)
    }

    #[inline(always)]
    fn route(&self, question: &mut Route) -> Routed {
        hop::route(self.xdp.cast(), question)
    }

    #[inline(always)]
    fn needs_station(&self) -> bool {
        true
    }

    #[inline(always)]
    fn enter(&mut self, room: Room) -> Result<(), OutOfPacket> {
        // SAFETY: the helper checks lengths itself.
        done(unsafe { bpf_xdp_adjust_head(self.xdp, -(room.bytes as u32).cast_signed()) })?;
        let mut ethernet = [0; NETWORK_AT];
        self.load(room.bytes, &mut ethernet)?;
        self.store(0, &ethernet)
    }

    #[inline(always)]
    fn send(&mut self, _way: Way, route: &Route) {
        self.sent = if route.ifindex == self.ifindex() {
            XDP_TX
        } else {
            // SAFETY: the helper only notes where to.
            let _redirect = unsafe { bpf_redirect(route.ifindex, 0) };
            XDP_REDIRECT
        };
    }
}
