// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Shows the agent what clients are answered by whoever serves the DNS Service.

use crate::{
    maps::{FrameUse, OVERHEARD, frames},
    skb::{Skb, some},
    tables::KernelTables,
};
use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, programs::TcContext};
use lb_common::{
    dns::{MESSAGE, overhear},
    verdict::Reason,
};

/// Copies an answer into the ring, at the end of a run that has translated it back. The agent looks
/// there by itself; where it does not, the ring is full, and nothing more is copied.
#[inline(always)]
pub(crate) fn show(ctx: &TcContext, end: Option<Reason>) {
    if !matches!(end, Some(Reason::Replied | Reason::RepliedDirectly)) {
        return;
    }
    let Some((frames, tables)) = frames(FrameUse::Packet).zip(KernelTables::new()) else {
        return;
    };
    if overhear(&Skb::new(ctx), &tables, frames)
        && let Ok(length) = some::<MESSAGE>(frames.names.length)
        && let Some(message) = frames.names.message.get(..length as usize)
    {
        let _is_full = OVERHEARD.output_untyped(message, u64::from(BPF_RB_NO_WAKEUP));
    }
}
