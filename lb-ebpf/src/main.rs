// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The programs of Weiche: which hook, which context; what a packet means is `lb_common`'s.
#![no_std]
#![no_main]
#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "helpers take offsets and lengths as u32, and no packet is longer than 64 KiB"
)]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "in what the macro makes of a program; the kernel is the only caller"
)]

mod skb;
mod maps;
mod tables;
mod snapshot;
mod timer;
mod clock;
mod deliver;
mod adopt;

use aya_ebpf::{macros::classifier, programs::TcContext};
use deliver::{Hook, deliver};
use lb_common::{
    family::{Family as _, V4, V6},
    frame::Frame,
    parse::ethertype,
    pipeline,
    verdict::Reason,
};
use maps::{FamilyMaps, frame};
use skb::Skb;
use tables::KernelTables;

/// TC ingress at an edge: towards the backend.
#[classifier]
pub fn weiche_ingress(ctx: TcContext) -> i32 {
    let mut packet = Skb::new(&ctx);
    let end = match ethertype(&packet) {
        Ok(V4::ETHERTYPE) => frame::<V4>().map(|frame| forward::<V4>(&mut packet, frame)),
        Ok(V6::ETHERTYPE) => frame::<V6>().map(|frame| forward::<V6>(&mut packet, frame)),
        Ok(_) => Some(Reason::NotIp),
        Err(reason) => Some(reason),
    };
    deliver(Hook::Ingress, end)
}

/// TC egress at an edge: back to the client.
#[classifier]
pub fn weiche_egress(ctx: TcContext) -> i32 {
    let mut packet = Skb::new(&ctx);
    let end = match ethertype(&packet) {
        Ok(V4::ETHERTYPE) => frame::<V4>().map(|frame| reply::<V4>(&mut packet, frame)),
        Ok(V6::ETHERTYPE) => frame::<V6>().map(|frame| reply::<V6>(&mut packet, frame)),
        Ok(_) => Some(Reason::NotIp),
        Err(reason) => Some(reason),
    };
    deliver(Hook::Egress, end)
}

// Out of line, one for each family, with the frame as an argument: each has the stack to itself,
// and the compiler learns from the argument's type how the frame is aligned.

#[inline(never)]
fn forward<F: FamilyMaps>(packet: &mut Skb, frame: &mut Frame<F::Address>) -> Reason {
    pipeline::forward::<F, _, _>(packet, &mut KernelTables, frame).unwrap_or_else(|reason| reason)
}

#[inline(never)]
fn reply<F: FamilyMaps>(packet: &mut Skb, frame: &mut Frame<F::Address>) -> Reason {
    pipeline::reply::<F, _, _>(packet, &mut KernelTables, frame).unwrap_or_else(|reason| reason)
}

/// Takes over an IPv4 flow of another table; run by the agent, never attached.
#[classifier]
pub fn weiche_adopt_v4(ctx: TcContext) -> i32 {
    adopt::adopt::<V4>(&Skb::new(&ctx))
}

/// Takes over an IPv6 flow of another table; run by the agent, never attached.
#[classifier]
pub fn weiche_adopt_v6(ctx: TcContext) -> i32 {
    adopt::adopt::<V6>(&Skb::new(&ctx))
}

/// The verifier refuses a program from which this can be reached, so none can.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Helpers that we call (`bpf_timer_*`) are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
