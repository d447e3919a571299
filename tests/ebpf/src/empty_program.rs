// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that does nothing: what the kernel's way into a program, and out, costs by itself.
#![no_std]
#![no_main]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    missing_docs,
    unreachable_pub,
    reason = "in what the macro makes of a program; the kernel is the only caller"
)]

use aya_ebpf::{macros::classifier, programs::TcContext};

/// `TC_ACT_UNSPEC`, `TCX_NEXT`.
const NEXT: i32 = -1;

#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    NEXT
}

tests_ebpf::program!();
