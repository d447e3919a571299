// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sweep: which flows it looks after, and when it comes again.
//!
//! Every established flow has an entry in its family's queue. A sweep takes entries from the front;
//! a flow that lives on goes to the back, one that is over is removed. A flow that made room for
//! another of its key leaves its entry behind, which is dropped when it is met.

use crate::conntrack::{self, Swept};
use crate::family::Family;
use crate::frame::Frame;
use crate::tables::Tables;
use crate::wire::{Round, fingerprint};
use core::ops::ControlFlow;

/// Entries that one sweep visits at most. Its processor does nothing else meanwhile: 0.2 ms, or
/// 0.5 ms where all are over (60,000 IPv6 flows, Linux 6.18, a virtual machine that was shared).
pub const BATCH: u32 = 256;

/// Looks after the flow at the front of the queue; breaks when the whole queue has been seen.
#[inline(always)]
pub fn visit<F: Family, T: Tables<F>>(
    tables: &mut T,
    round: &mut Round,
    frame: &mut Frame<F::Address>,
) -> ControlFlow<()> {
    if !tables.take_expiry(&mut frame.expiry) {
        return ControlFlow::Break(());
    }
    let print = fingerprint(&frame.expiry);
    let seen = round.kept != 0 && round.first == print;
    match conntrack::sweep(tables, frame) {
        Swept::Gone => round.ended = round.ended.wrapping_add(1),
        Swept::Alive => {
            if round.kept == 0 {
                round.first = print;
            }
            round.kept = round.kept.wrapping_add(1);
            put_back(tables, frame);
        }
    }
    if seen {
        return ControlFlow::Break(());
    }
    ControlFlow::Continue(())
}

/// Ended flows in a batch, a quarter of it, after which there are probably more.
const MANY: u32 = 64;

const MILLISECOND: u64 = 1_000_000;

/// When the next sweep begins, after one that has come this far: in nanoseconds.
///
/// While few entries are over, 12,800 a second of each family: a full table of the default size is
/// seen within eleven seconds, for a hundredth of a processor. While many are over, the sweep has
/// half of one.
#[inline(always)]
pub const fn pause_ns(round: &Round) -> u64 {
    let visited = round.kept.saturating_add(round.ended);
    if round.ended >= MANY {
        MILLISECOND
    } else if visited >= BATCH {
        20 * MILLISECOND
    } else if visited > 0 {
        50 * MILLISECOND
    } else {
        200 * MILLISECOND
    }
}

/// Puts an entry at the end of the queue that it was taken from.
///
/// Its place may be gone: the queue was full, half of it of entries that flows had left behind, and
/// a new flow came in between. One of the two must go; a flow without an entry would stay for good.
#[inline(always)]
fn put_back<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    if !tables.add_expiry(&frame.expiry) {
        conntrack::end(tables, frame);
    }
}
