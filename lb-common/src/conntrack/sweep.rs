// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of an established flow, whose two entries go, and of an affinity.

use super::{Age, Target, age, outlives_itself, write_reverse_key};
use crate::family::Family;
use crate::frame::Frame;
use crate::tables::{Side, Stage, Tables};
use crate::{affinity, masquerade};

/// What the sweep has found of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// It is not there any more.
    Gone,
    /// It lives, or still holds its place.
    Alive,
}

/// Removes the flow of `frame.expiry` if it is beyond its tombstone, the affinity if it is over.
///
/// A packet may put another flow in its place between the look at it and the removal. That one's
/// next packet then begins anew, with the same backend.
#[inline(always)]
pub fn sweep<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) -> Swept {
    if frame.expiry.key.protocol == affinity::PROTOCOL {
        if affinity::is_alive(tables, frame) {
            return Swept::Alive;
        }
        affinity::end(tables, frame);
        return Swept::Gone;
    }
    if masquerade::is_queued(&frame.expiry.key) {
        if masquerade::is_alive(tables, frame) {
            return Swept::Alive;
        }
        masquerade::end(tables, frame);
        return Swept::Gone;
    }
    let born_ns = u64::from_ne_bytes(frame.expiry.born_ns);
    let place = match tables.flow(Stage::Established, &frame.expiry.key, &mut frame.flow) {
        // Unreadable now, not for ever.
        Err(_torn) => return Swept::Alive,
        Ok(Some(known)) if frame.flow.born_ns == born_ns => known,
        Ok(_) => return Swept::Gone,
    };
    let now_ns = tables.now_ns();
    if age(&frame.flow, now_ns, &tables.node().timeouts) != Age::Gone {
        if outlives_itself(&frame.flow, now_ns) {
            let (flow, touch) = (&frame.flow, &mut frame.touch);
            touch.seen = flow.client_seen;
            touch.progress = flow.client_progress;
            touch.expires_ns = now_ns;
            tables.touch(Stage::Established, place, flow, Side::Client, touch);
        }
        return Swept::Alive;
    }
    remove(tables, frame);
    Swept::Gone
}

/// Removes what `frame.expiry` stands for and was just found alive.
#[inline(always)]
pub fn end<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    if frame.expiry.key.protocol == affinity::PROTOCOL {
        affinity::end(tables, frame);
        return;
    }
    if masquerade::is_queued(&frame.expiry.key) {
        masquerade::end(tables, frame);
        return;
    }
    let born_ns = u64::from_ne_bytes(frame.expiry.born_ns);
    let found = tables.flow(Stage::Established, &frame.expiry.key, &mut frame.flow);
    if matches!(found, Ok(Some(_))) && frame.flow.born_ns == born_ns {
        remove(tables, frame);
    }
}

/// The reverse entry first, as everywhere; only if it is this flow's: it may have lost it.
#[inline(never)]
fn remove<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    let (key, target) = (&frame.expiry.key, Target::of(&frame.flow));
    write_reverse_key::<F>(&mut frame.reverse_key, key, &target);
    let found = tables.reverse(Stage::Established, &frame.reverse_key, &mut frame.reverse);
    if matches!(found, Ok(Some(()))) && frame.reverse.born_ns == frame.flow.born_ns {
        tables.remove_reverse(Stage::Established, &frame.reverse_key);
    }
    tables.remove_flow(Stage::Established, key);
}
