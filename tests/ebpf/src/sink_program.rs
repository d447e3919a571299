// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sink of packets, at TC ingress of a link: whatever is of IP ends here, and is counted.
#![no_std]
#![no_main]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "in what the macro makes of a program; the kernel is the only caller"
)]

use aya_ebpf::{
    macros::{classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use tests_ebpf::plus_one;

/// `TC_ACT_SHOT`, `TCX_DROP`.
const DROP: i32 = 2;
/// `TC_ACT_UNSPEC`, `TCX_NEXT`.
const NEXT: i32 = -1;

#[map]
static TAKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[classifier]
pub fn sink(ctx: TcContext) -> i32 {
    // Others keep the link alive.
    let Ok([0x08, 0x00] | [0x86, 0xdd]) = ctx.load::<[u8; 2]>(12) else {
        return NEXT;
    };
    plus_one(TAKEN.get_ptr_mut(0));
    DROP
}

tests_ebpf::program!();
