// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! The end of every run: counted once, and turned into what the hook returns.

use crate::maps::REASONS;
use aya_ebpf::{
    EbpfContext,
    bindings::{
        __sk_buff,
        xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    },
    helpers::generated::bpf_redirect,
    programs::{TcContext, XdpContext},
};
use aya_log_ebpf::warn;
use lb_common::verdict::{REASON_SLOTS, Reason, Verdict};

/// Where the program runs; its counters' place.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    /// TC ingress.
    Ingress = 0,
    /// TC egress.
    Egress = 1,
    /// XDP.
    Uplink = 2,
}

/// `TCX_NEXT`, and `TC_ACT_UNSPEC` where the hook is clsact: foreign programs after ours still
/// run. `TC_ACT_OK` would end the chain and switch them off.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT`, `TCX_DROP`.
const DROP: i32 = 2;
/// `TC_ACT_REDIRECT`, `TCX_REDIRECT`: where to has been noted (`Packet::send`).
const REDIRECT: i32 = 7;

/// Counts the reason and does what it says; where `is_routed`, it has been noted where an answer
/// goes.
#[inline(always)]
pub(crate) fn deliver(ctx: &TcContext, hook: Hook, end: Option<Reason>, is_routed: bool) -> i32 {
    // Never: every processor has its frames. The verifier cannot know.
    let Some(reason) = end else {
        return NEXT;
    };
    count(ctx, hook, reason);
    match reason.verdict() {
        Verdict::Pass => NEXT,
        Verdict::Drop => DROP,
        Verdict::Answer if !is_routed => back(ctx),
        Verdict::Answer | Verdict::Deliver => REDIRECT,
    }
}

/// The same where there is no skb yet; `sent` is what a packet needs that has been handed over.
#[inline(always)]
pub(crate) fn deliver_early(ctx: &XdpContext, end: Option<Reason>, sent: u32) -> u32 {
    let Some(reason) = end else {
        return XDP_PASS;
    };
    count(ctx, Hook::Uplink, reason);
    match reason.verdict() {
        Verdict::Pass => XDP_PASS,
        Verdict::Drop => XDP_DROP,
        Verdict::Answer => XDP_TX,
        Verdict::Deliver => sent,
    }
}

#[inline(always)]
fn count<C: EbpfContext>(ctx: &C, hook: Hook, reason: Reason) {
    let Some(at) = REASONS.get_ptr_mut(hook as u32 * REASON_SLOTS + reason as u32) else {
        return;
    };
    // SAFETY: this processor's own element, and programs are not interrupted by themselves.
    let count = unsafe { *at }.wrapping_add(1);
    // SAFETY: as above.
    unsafe { *at = count };
    if reason.is_alarming() && count.is_power_of_two() {
        alarm(ctx, reason, count);
    }
}

/// Sends the packet out through the interface that it came in by. Programs at that interface's
/// egress see it, ours too.
#[inline(always)]
fn back(ctx: &TcContext) -> i32 {
    // SAFETY: the kernel hands every TC program a valid context.
    let ifindex = unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).ifindex };
    // SAFETY: the helper only notes where to, and says what the hook is to return.
    (unsafe { bpf_redirect(ifindex, 0) }) as i32
}

/// Tells the agent of an end that should not happen: the first time, the second, the fourth, the
/// eighth and so on, so that a flood of them is a few dozen lines.
#[inline(never)]
fn alarm<C: EbpfContext>(ctx: &C, reason: Reason, count: u64) {
    warn!(
        ctx,
        "reason {}, for the {}th time on this processor", reason as u32, count
    );
}
