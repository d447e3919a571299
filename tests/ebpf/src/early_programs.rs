// SPDX-License-Identifier: MIT OR Apache-2.0
//! What XDP costs without Weiche: programs that hand a packet on, send it back, or count it and
//! drop it.
#![no_std]
#![no_main]
#![expect(
    clippy::as_conversions,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "packets are where integers say; and in what the macro makes of a program"
)]

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    macros::{map, xdp},
    maps::PerCpuArray,
    programs::XdpContext,
};
use tests_ebpf::plus_one;

#[map]
static TAKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Ends of an Ethernet frame, as words of two bytes.
type Ends = [[u16; 3]; 2];

#[xdp(frags)]
pub fn pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

#[xdp(frags)]
pub fn turn(ctx: XdpContext) -> u32 {
    let begin = ctx.data();
    if begin + size_of::<Ends>() > ctx.data_end() {
        return XDP_DROP;
    }
    let ends = begin as *mut Ends;
    // SAFETY: within the frame, whose length was checked.
    let [to, from] = unsafe { ends.read_unaligned() };
    // SAFETY: as above.
    unsafe { ends.write_unaligned([from, to]) };
    XDP_TX
}

#[xdp(frags)]
pub fn take(ctx: XdpContext) -> u32 {
    let begin = ctx.data();
    if begin + 14 > ctx.data_end() {
        return XDP_PASS;
    }
    // SAFETY: within the frame, whose length was checked.
    let kind = unsafe { ((begin + 12) as *const [u8; 2]).read_unaligned() };
    // Others keep the link alive.
    if kind != [0x08, 0x00] && kind != [0x86, 0xdd] {
        return XDP_PASS;
    }
    plus_one(TAKEN.get_ptr_mut(0));
    XDP_DROP
}

tests_ebpf::program!();
