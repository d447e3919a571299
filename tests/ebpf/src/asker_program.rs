// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes of whatever packet it is run on the next one of a map, and has another program go on with
//! it. So a program that changes its packets can be run many times in a row, and meets another
//! one each time.
#![no_std]
#![no_main]
#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "helpers take lengths as u32; and in what the macro makes of a program"
)]

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_skb_change_tail, bpf_skb_store_bytes},
    macros::{classifier, map},
    maps::{Array, ProgramArray},
    programs::TcContext,
};
use tests_ebpf::asker::{Prepared, ROOM};

/// `TC_ACT_SHOT`, `TCX_DROP`.
const DROP: i32 = 2;

/// Set at load: how many packets there are.
#[unsafe(no_mangle)]
static COUNT: u32 = 0;

#[map]
static PACKETS: Array<Prepared> = Array::with_max_entries(1, 0);
/// The number of the next packet.
#[map]
static NEXT: Array<u32> = Array::with_max_entries(1, 0);
/// What goes on.
#[map]
static ONWARD: ProgramArray = ProgramArray::with_max_entries(1, 0);

#[classifier]
pub fn asker(ctx: TcContext) -> i32 {
    if make(&ctx).is_some() {
        // SAFETY: nothing here is left to be dropped.
        unsafe { ONWARD.tail_call(&ctx, 0) };
    }
    DROP
}

fn make(ctx: &TcContext) -> Option<()> {
    let next = NEXT.get_ptr_mut(0)?;
    // SAFETY: an element of a map, which stays readable while the program runs.
    let number = unsafe { next.read_volatile() };
    // SAFETY: a plain static; volatile because the loader writes it behind the compiler's back.
    let count = unsafe { core::ptr::read_volatile(&raw const COUNT) };
    let following = if number + 1 < count { number + 1 } else { 0 };
    // SAFETY: as above, and writable; nobody else runs this object's program.
    unsafe { next.write_volatile(following) };
    let [length, bytes @ ..] = PACKETS.get(number)?;
    let length = *length;
    if length == 0 || length > ROOM as u64 {
        return None;
    }
    let (skb, length) = (ctx.as_ptr().cast(), length as u32);
    // SAFETY: the helper checks the length itself.
    let resized = unsafe { bpf_skb_change_tail(skb, length, 0) };
    // SAFETY: the helper reads as many bytes as it is told, of which there are as many.
    let stored = unsafe { bpf_skb_store_bytes(skb, 0, bytes.as_ptr().cast(), length, 0) };
    (resized == 0 && stored == 0).then_some(())
}

tests_ebpf::program!();
