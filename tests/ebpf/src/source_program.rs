// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source of packets, as an XDP program that makes one out of whatever it is run on, and hands it
//! to the stack, or sends it. With live frames (`BPF_F_TEST_XDP_LIVE_FRAMES`), the kernel runs it
//! as often as it is told, and the packets arrive at a link as if that had received them.
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
    bindings::xdp_action::{XDP_ABORTED, XDP_PASS, XDP_TX},
    macros::{map, xdp},
    maps::Array,
    programs::XdpContext,
};
use tests_ebpf::source::{Bits, LENGTH, Places};

/// Frames are copied by words.
const WORDS: usize = LENGTH / 8;

/// Set at load.
#[unsafe(no_mangle)]
static PLACES: Places = [0; 3];
/// Likewise: 0 = the frame arrives at the link, else it is sent out of it.
#[unsafe(no_mangle)]
static SENDS: u32 = 0;
/// Likewise.
#[unsafe(no_mangle)]
static BITS: Bits = [0; 2];

#[map]
static FRAME: Array<[u64; WORDS]> = Array::with_max_entries(1, 0);
/// The number of the next packet.
#[map]
static NEXT: Array<u64> = Array::with_max_entries(1, 0);

#[xdp]
pub fn source(ctx: XdpContext) -> u32 {
    if make(&ctx).is_none() {
        return XDP_ABORTED;
    }
    // SAFETY: a plain static; volatile because the loader writes it behind the compiler's back.
    let sends = unsafe { (&raw const SENDS).read_volatile() };
    if sends == 0 { XDP_PASS } else { XDP_TX }
}

/// Frames are used again as the stack has left them, so all of it is written.
fn make(ctx: &XdpContext) -> Option<()> {
    let (begin, end) = (ctx.data(), ctx.data_end());
    if begin + LENGTH > end {
        return None;
    }
    let frame = FRAME.get(0)?;
    for (at, word) in frame.iter().enumerate() {
        let to = (begin + at * 8) as *mut u64;
        // SAFETY: within the frame, whose length was checked.
        unsafe { to.write_unaligned(*word) };
    }
    let next = NEXT.get_ptr_mut(0)?;
    // SAFETY: an element of a map, which stays readable while the program runs.
    let number = unsafe { next.read_volatile() };
    // SAFETY: as above, and writable; nobody else runs this object's program.
    unsafe { next.write_volatile(number.wrapping_add(1)) };
    let [.., high, low] = number.to_be_bytes();
    // SAFETY: a plain static; volatile because the loader writes it behind the compiler's back.
    let [counting, always] = unsafe { (&raw const BITS).read_volatile() };
    let number = u16::from_be_bytes([high, low]) & counting | always;
    let number = number.to_be();
    // SAFETY: as above.
    let places = unsafe { (&raw const PLACES).read_volatile() };
    for (at, half) in places.into_iter().zip([number, !number, !number]) {
        let at = usize::from(at);
        if at > LENGTH - 2 {
            return None;
        }
        let to = (begin + at) as *mut u16;
        // SAFETY: within the frame, whose length was checked.
        unsafe { to.write_unaligned(half) };
    }
    Some(())
}

tests_ebpf::program!();
