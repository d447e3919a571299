// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Packet bytes through the kernel's helpers, which know of paged data and of checksums that a
//! sender or a NIC has left half made.

use crate::{
    clock, hop,
    words::{self, Room as Words},
};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
        BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_IPV6, BPF_F_MARK_MANGLED_0,
        BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    helpers::generated::{
        bpf_csum_update, bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_tail,
        bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use core::{arch::asm, mem::MaybeUninit};
use lb_common::{
    csum::Change,
    delivery::{Arrival, Routed, Way},
    family::{Family as _, V4, WideAddress},
    packet::{OutOfPacket, Packet, Part, Room},
    wire::{Route, SocketEnds},
};

/// A packet at a TC hook.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
    /// Whether it has been noted where it goes as an answer.
    pub(crate) is_routed: bool,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self {
            skb: ctx.as_ptr().cast(),
            is_routed: false,
        }
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        let into = into.as_mut_ptr().cast();
        // SAFETY: the helper writes N bytes into a buffer of N bytes.
        done(unsafe { bpf_skb_load_bytes(self.skb.cast(), at as u32, into, N as u32) })
    }

    #[inline(always)]
    fn load_header<const N: usize>(
        &self,
        at: usize,
        into: &mut [u8; N],
    ) -> Result<(), OutOfPacket> {
        let mut room = MaybeUninit::<Words<N>>::uninit();
        let from = if let Some(from) = self.linear::<N>(at) {
            from
        } else {
            let room = room.as_mut_ptr();
            // SAFETY: the helper writes N bytes, for which there is room.
            let error =
                unsafe { bpf_skb_load_bytes(self.skb.cast(), at as u32, room.cast(), N as u32) };
            done(error)?;
            room as usize
        };
        // SAFETY: N bytes of the packet, or of ours that have just been written.
        let words = unsafe { words::read::<N>(from) };
        words::write(&words, into);
        Ok(())
    }

    #[inline(always)]
    fn long_end(&self) -> Option<usize> {
        // SAFETY: the kernel hands every TC program a valid context.
        let segment = unsafe { (*self.skb).gso_size };
        // SAFETY: as above.
        let length = unsafe { (*self.skb).len };
        (segment != 0).then_some(length as usize)
    }

    #[inline(always)]
    fn load_some<const N: usize>(
        &self,
        at: usize,
        length: usize,
        into: &mut [u8; N],
    ) -> Result<(), OutOfPacket> {
        let length = some::<N>(length)?;
        let into = into.as_mut_ptr().cast();
        // SAFETY: the helper writes as many bytes as were asked for, which are N at most.
        done(unsafe { bpf_skb_load_bytes(self.skb.cast(), at as u32, into, length) })
    }

    #[inline(always)]
    fn resize(&mut self, length: usize) -> Result<(), OutOfPacket> {
        self.change_tail(length as u32)
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        // SAFETY: the helper reads N bytes from a buffer of N bytes.
        let error =
            unsafe { bpf_skb_store_bytes(self.skb, at as u32, bytes.as_ptr().cast(), N as u32, 0) };
        done(error)
    }

    #[inline(always)]
    fn overwrite<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        // Whoever has given a packet its length has it in one piece.
        let to = self.linear::<N>(at).ok_or(OutOfPacket)?;
        // SAFETY: N bytes of the packet.
        unsafe { words::store::<N>(&words::of(bytes), to) };
        Ok(())
    }

    #[inline(always)]
    fn store_uncovered<const N: usize>(
        &mut self,
        at: usize,
        bytes: &[u8; N],
    ) -> Result<(), OutOfPacket> {
        let (from, flags) = (bytes.as_ptr().cast(), u64::from(BPF_F_RECOMPUTE_CSUM));
        // SAFETY: the helper reads N bytes from a buffer of N bytes. By the flag, a sum that a NIC
        // has made of the packet follows.
        done(unsafe { bpf_skb_store_bytes(self.skb, at as u32, from, N as u32, flags) })
    }

    #[inline(always)]
    fn is_for_host(&self, family: u8, source: &WideAddress, destination: &WideAddress) -> bool {
        hop::is_for_host(self.skb.cast(), self.ifindex(), family, source, destination)
    }

    #[inline(always)]
    fn overheard_by(&self) -> Option<u32> {
        // A test's packets come to no station.
        if clock::is_injected() {
            return None;
        }
        hop::overheard_by(self.skb)
    }

    #[inline(always)]
    fn arrival(&self, _end: usize) -> Option<Arrival> {
        hop::arrival(self.skb)
    }

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the kernel hands every TC program a valid context.
        unsafe { (*self.skb).ifindex }
    }

    #[inline(always)]
    fn has_socket<A>(&self, protocol: u8, ends: &SocketEnds<A>) -> bool {
        hop::has_socket(self.skb.cast(), protocol, ends)
    }

    #[inline(always)]
    fn route(&self, question: &mut Route) -> Routed {
        hop::route(self.skb.cast(), question)
    }

    #[inline(always)]
    fn send(&mut self, way: Way, route: &Route) {
        hop::send(way, route);
    }

    #[inline(always)]
    fn enter(&mut self, room: Room) -> Result<(), OutOfPacket> {
        let outer = if room.ethertype == V4::ETHERTYPE {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
        } else {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
        };
        let udp = if room.has_udp {
            BPF_F_ADJ_ROOM_ENCAP_L4_UDP
        } else {
            0
        };
        // Segments stay as long as they are: they have been found to fit.
        let flags = BPF_F_ADJ_ROOM_FIXED_GSO | outer | udp;
        self.adjust_room((room.bytes as u32).cast_signed(), u64::from(flags))
    }

    #[inline(always)]
    fn leave(&mut self, room: Room) -> Result<(), OutOfPacket> {
        let flags = u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
        self.adjust_room(-(room.bytes as u32).cast_signed(), flags)
    }

    #[inline(always)]
    fn answer_by_route(&mut self, route: &Route) {
        hop::send(Way::Neighbour, route);
        self.is_routed = true;
    }

    #[inline(always)]
    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        let length = length as u32 + FRONT.cast_unsigned();
        // No helper says "this packet's checksums are made": a packet whose sum a sender has left
        // to the NIC would be summed by it where the old header stood. What a NIC has summed is
        // forgotten when a packet grows, so it grows by a byte; what was left to the NIC, when
        // bytes up to where that should begin are cut off in front (`skb_postpull_rcsum`). Both
        // make a whole, single packet of it.
        self.change_tail(length - 1)?;
        self.change_tail(length)?;
        self.adjust_room(-FRONT, 0)
    }

    #[inline(always)]
    fn has_offloaded_tag(&self) -> bool {
        // SAFETY: the kernel hands every TC program a valid context.
        let is_tagged = (unsafe { (*self.skb).vlan_present }) != 0;
        // SAFETY: as above.
        let vlan = (unsafe { (*self.skb).vlan_tci }) & 0x0fff;
        is_tagged && vlan != 0
    }

    #[inline(always)]
    fn account_for(&mut self, Change(change): Change) {
        // It refuses where no NIC has summed the packet, which is as well.
        // SAFETY: the helper takes any number.
        let _ = unsafe { bpf_csum_update(self.skb, change) };
    }

    #[inline(always)]
    fn correct_transport_checksum(
        &mut self,
        at: usize,
        change: Change,
        part: Part,
        zero_is_none: bool,
    ) -> Result<(), OutOfPacket> {
        let zero_rule = if zero_is_none {
            u64::from(BPF_F_MARK_MANGLED_0)
        } else {
            0
        };
        let pseudo = u64::from(BPF_F_PSEUDO_HDR) | zero_rule;
        match part {
            Part::Transport => self.replace_transport(at, change, zero_rule),
            Part::BalancedAddresses => self.replace_transport(at, change, pseudo),
            // Without this flag the kernel spoils the sum that a NIC made of an IPv6 packet;
            // kernels that lack the mend (commit ead7f9b8de65, Linux 6.16 and its backports)
            // refuse the flag, and then there is nothing better than to go without.
            Part::Addresses => self
                .replace_transport(at, change, pseudo | u64::from(BPF_F_IPV6))
                .or_else(|OutOfPacket| self.replace_transport(at, change, pseudo)),
        }
    }
}

/// Bytes cut off in front to forget a checksum that was to be made: more than stand in front of
/// any transport header that has one, behind IPv4 options or a few IPv6 extension headers.
const FRONT: i32 = 256;

/// Offsets at which the verifier follows a read of the packet (`MAX_PACKET_OFF` is 65,535).
pub(crate) const LINEAR: usize = 0x7fff;

impl Skb {
    /// Where N bytes at an offset are, if the program can read all of them itself: a call of the
    /// kernel's costs more than all else that is done with a header.
    #[inline(always)]
    fn linear<const N: usize>(&self, at: usize) -> Option<usize> {
        if at > LINEAR {
            return None;
        }
        // SAFETY: the kernel hands every TC program a valid context.
        let begin = (unsafe { (*self.skb).data }) as usize;
        // SAFETY: as above.
        let end = (unsafe { (*self.skb).data_end }) as usize;
        let from = begin + bounded(at);
        (from + N <= end).then_some(from)
    }

    /// Gives it more bytes before the IP header, or fewer.
    #[inline(always)]
    fn adjust_room(&mut self, more: i32, flags: u64) -> Result<(), OutOfPacket> {
        // SAFETY: the helper checks lengths itself.
        done(unsafe { bpf_skb_adjust_room(self.skb, more, BPF_ADJ_ROOM_MAC, flags) })
    }

    #[inline(always)]
    fn change_tail(&mut self, length: u32) -> Result<(), OutOfPacket> {
        // SAFETY: the helper checks the length itself.
        done(unsafe { bpf_skb_change_tail(self.skb, length, 0) })
    }

    #[inline(always)]
    fn replace_transport(
        &mut self,
        at: usize,
        Change(change): Change,
        flags: u64,
    ) -> Result<(), OutOfPacket> {
        // SAFETY: the helper checks the offset itself. Size 0 in the flags = a difference.
        done(unsafe { bpf_l4_csum_replace(self.skb, at as u32, 0, u64::from(change), flags) })
    }
}

/// An offset up to [`LINEAR`], in one instruction that the verifier sees: the compiler may add what
/// it has kept from before the comparison, and Linux 6.1 learns no bound of that.
#[inline(always)]
pub(crate) fn bounded(mut at: usize) -> usize {
    // SAFETY: it changes a register that is ours.
    unsafe { asm!("{0} &= 0x7fff", inout(reg) at, options(pure, nomem, nostack)) };
    at
}

/// A number of bytes from one to N.
///
/// One less is what is tested, and one more than that is what the helper gets: Linux 6.1 learns
/// nothing from a test for zero, and the compiler would test one copy and hand on another.
#[inline(always)]
pub(crate) fn some<const N: usize>(length: usize) -> Result<u32, OutOfPacket> {
    let mut less = (length as u64).wrapping_sub(1);
    // SAFETY: changes nothing; the compiler no longer knows where the number comes from.
    unsafe { asm!("{0} = {0}", inout(reg) less, options(pure, nomem, nostack)) };
    if less >= N as u64 {
        return Err(OutOfPacket);
    }
    Ok(less as u32 + 1)
}

#[inline(always)]
pub(crate) fn done(error: i64) -> Result<(), OutOfPacket> {
    if error == 0 { Ok(()) } else { Err(OutOfPacket) }
}
