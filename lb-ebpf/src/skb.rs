// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Packet bytes through the kernel's helpers, which know of paged data and of checksums that a
//! sender or a NIC has left half made.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{__sk_buff, BPF_F_IPV6, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::generated::{
        bpf_csum_update, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_skb_load_bytes,
        bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use lb_common::{
    csum::Change,
    packet::{OutOfPacket, Packet, Part},
};

/// A packet at a TC hook.
pub(crate) struct Skb {
    skb: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self {
            skb: ctx.as_ptr().cast(),
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
    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        // SAFETY: the helper reads N bytes from a buffer of N bytes.
        let error =
            unsafe { bpf_skb_store_bytes(self.skb, at as u32, bytes.as_ptr().cast(), N as u32, 0) };
        done(error)
    }

    #[inline(always)]
    fn has_offloaded_tag(&self) -> bool {
        // SAFETY: the kernel hands every TC program a valid context.
        (unsafe { (*self.skb).vlan_present }) != 0
    }

    #[inline(always)]
    fn account_for(&mut self, Change(change): Change) {
        // It refuses where no NIC has summed the packet, which is as well.
        // SAFETY: the helper takes any number.
        let _ = unsafe { bpf_csum_update(self.skb, change) };
    }

    #[inline(always)]
    fn correct_header_checksum(&mut self, at: usize, change: Change) -> Result<(), OutOfPacket> {
        let Change(change) = change;
        // SAFETY: the helper checks the offset itself. Size 0 = `to` is a difference.
        done(unsafe { bpf_l3_csum_replace(self.skb, at as u32, 0, u64::from(change), 0) })
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

impl Skb {
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

#[inline(always)]
fn done(error: i64) -> Result<(), OutOfPacket> {
    if error == 0 { Ok(()) } else { Err(OutOfPacket) }
}
