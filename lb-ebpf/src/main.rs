// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The programs of Weiche: which hook, which context; what a packet means is `lb_common`'s.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
// As in lb-common: each of these leaves a path to a panic, which the verifier refuses at load.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unreachable)]
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
mod words;
mod xdp;
mod hop;
mod lru;
mod maps;
mod traces;
mod tables;
mod names;
mod snapshot;
mod clock;
mod overhear;
mod deliver;
mod sweep;

use aya_ebpf::{
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use deliver::{Hook, deliver, deliver_early};
use lb_common::{pipeline, verdict::Reason};
use maps::{FURTHER, FrameUse, Further, frames};
use skb::Skb;
use tables::KernelTables;
use xdp::Xdp;

/// TC ingress at an edge: towards the backend.
#[classifier]
pub fn weiche_ingress(ctx: TcContext) -> i32 {
    let mut packet = Skb::new(&ctx);
    let parts = frames(FrameUse::Packet).zip(KernelTables::new());
    let end = parts.map(|(frames, mut tables)| pipeline::ingress(&mut packet, &mut tables, frames));
    match end {
        Some(Reason::NameUnanswered) => go_on(&ctx, Further::Names),
        Some(Reason::Untunnelled) => go_on(&ctx, Further::Tunnel),
        _ => {}
    }
    overhear::show(&ctx, end);
    deliver(&ctx, Hook::Ingress, end, false)
}

/// What `weiche_ingress` goes on with where a packet is a question to the DNS Service: a program of
/// its own, so that the other one costs the verifier no more. It answers, or goes back.
#[classifier]
pub fn weiche_names(ctx: TcContext) -> i32 {
    let parts = frames(FrameUse::Packet).zip(KernelTables::new());
    let end = parts
        .and_then(|(frames, mut tables)| pipeline::names(&mut Skb::new(&ctx), &mut tables, frames));
    if end.is_none() {
        go_on(&ctx, Further::Ingress);
    }
    let end = end.or(Some(Reason::NameUnanswered));
    deliver(&ctx, Hook::Ingress, end, false)
}

/// What `weiche_ingress` goes on with where a packet may go into a tunnel, or has come in one; it
/// comes back with what is to be looked at again.
#[classifier]
pub fn weiche_tunnel(ctx: TcContext) -> i32 {
    let mut packet = Skb::new(&ctx);
    let parts = frames(FrameUse::Packet).zip(KernelTables::new());
    let end =
        parts.and_then(|(frames, mut tables)| pipeline::tunnel(&mut packet, &mut tables, frames));
    if end.is_none() {
        go_on(&ctx, Further::Ingress);
    }
    let end = end.or(Some(Reason::Untunnelled));
    deliver(&ctx, Hook::Ingress, end, packet.is_routed)
}

/// TC egress at an edge: back to the client.
#[classifier]
pub fn weiche_egress(ctx: TcContext) -> i32 {
    let parts = frames(FrameUse::Packet).zip(KernelTables::new());
    let end = parts
        .map(|(frames, mut tables)| pipeline::egress(&mut Skb::new(&ctx), &mut tables, frames));
    overhear::show(&ctx, end);
    deliver(&ctx, Hook::Egress, end, false)
}

/// XDP at an uplink: what goes from one other machine to another.
#[xdp(frags)]
pub fn weiche_uplink(ctx: XdpContext) -> u32 {
    let mut packet = Xdp::new(&ctx);
    let parts = frames(FrameUse::Packet).zip(KernelTables::new());
    let end = parts.map(|(frames, mut tables)| pipeline::uplink(&mut packet, &mut tables, frames));
    deliver_early(&ctx, end, packet.sent)
}

/// Starts the sweep of flows that are over; run once by the agent, never attached.
#[classifier]
pub fn weiche_sweep(_ctx: TcContext) -> i32 {
    sweep::start() as i32
}

/// Ends this program, and begins another one with the packet; does nothing if that is not there.
#[inline(always)]
fn go_on(ctx: &TcContext, to: Further) {
    // SAFETY: nothing here is left to be dropped.
    unsafe { FURTHER.tail_call(ctx, to as u32) };
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
