// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes of whatever frame it is run on one frame, of the next flow and for the next Service, and
//! has another program go on with it: so a program that makes its frames longer can be run many
//! times in a row.
#![no_std]
#![no_main]
#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "frames are where integers say; and in what the macro makes of a program"
)]

use aya_ebpf::{
    EbpfContext as _,
    bindings::{xdp_action::XDP_ABORTED, xdp_md},
    helpers::generated::bpf_xdp_adjust_head,
    macros::{map, xdp},
    maps::{Array, ProgramArray},
    programs::XdpContext,
};
use tests_ebpf::rewinder::{Prepared, ROOM};

/// Set at load: what numbers of flows, and of Services, are less than, powers of two; and where in
/// a frame the client's port stands, and the end of the Service's address.
#[unsafe(no_mangle)]
static FLOWS: u32 = 1;
#[unsafe(no_mangle)]
static SERVICES: u32 = 1;
#[unsafe(no_mangle)]
static IS_WIDE: u32 = 0;

#[map]
static FRAME: Array<Prepared> = Array::with_max_entries(1, 0);
/// The number of the next run.
#[map]
static NEXT: Array<u32> = Array::with_max_entries(1, 0);
/// What goes on.
#[map]
static ONWARD: ProgramArray = ProgramArray::with_max_entries(1, 0);

#[xdp(frags)]
pub fn rewinder(ctx: XdpContext) -> u32 {
    if rewind(&ctx).is_some() {
        // SAFETY: nothing here is left to be dropped.
        unsafe { ONWARD.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

fn rewind(ctx: &XdpContext) -> Option<()> {
    let length = ctx.data_end() - ctx.data();
    if length > ROOM {
        let more = (length - ROOM) as i32;
        let xdp: *mut xdp_md = ctx.as_ptr().cast();
        // SAFETY: the helper checks lengths itself.
        if (unsafe { bpf_xdp_adjust_head(xdp, more) }) != 0 {
            return None;
        }
    }
    let next = NEXT.get_ptr_mut(0)?;
    // SAFETY: an element of a map, which stays readable while the program runs.
    let number = unsafe { next.read_volatile() };
    // SAFETY: as above, and writable; nobody else runs this object's program.
    unsafe { next.write_volatile(number.wrapping_add(1)) };
    let frame = FRAME.get(0)?;
    let begin = ctx.data();
    if begin + ROOM > ctx.data_end() {
        return None;
    }
    // SAFETY: as many bytes as are in the frame.
    unsafe { (begin as *mut Prepared).write_unaligned(*frame) };
    // SAFETY: plain statics; volatile because the loader writes them behind the compiler's back.
    let flows = unsafe { core::ptr::read_volatile(&raw const FLOWS) };
    // SAFETY: as above.
    let services = unsafe { core::ptr::read_volatile(&raw const SERVICES) };
    // SAFETY: as above.
    let is_wide = unsafe { core::ptr::read_volatile(&raw const IS_WIDE) } != 0;
    let port = (number & (flows - 1)) as u16;
    let service = (number & (services - 1)) as u16;
    // The ends of both addresses and the client's port: within the frame.
    let (address_at, port_at) = if is_wide { (52, 54) } else { (32, 34) };
    // SAFETY: within the frame.
    unsafe { ((begin + port_at) as *mut u16).write_unaligned(port.to_be()) };
    // SAFETY: as above.
    unsafe { ((begin + address_at) as *mut u16).write_unaligned(service.to_be()) };
    Some(())
}

tests_ebpf::program!();
