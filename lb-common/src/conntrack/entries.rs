// SPDX-License-Identifier: MIT OR Apache-2.0
//! A flow's two entries: found, made, moved and removed together.
//!
//! The order of writes is such that whoever finds a reverse entry also finds its flow: the flow is
//! made first, and the reverse entry is removed first.

use super::{Age, Choice, Past, Target, age, seen, state, timeout_ns};
use crate::ends::{self, End};
use crate::family::Family;
use crate::frame::Frame;
use crate::parse::Datagram;
use crate::tables::{Found, InsertError, Stage, Tables, Torn};
use crate::verdict::Reason;
use crate::wire::{Flow, Progress, Reverse, Timeouts, Tuple, fingerprint};

/// Where a flow was found; what it says was copied.
#[derive(Clone, Copy, Debug)]
pub struct Known<P> {
    /// Which tables hold its entries.
    pub stage: Stage,
    /// Where it can be touched.
    pub place: P,
}

/// Where a flow is looked for. Another processor may move it in between: it is in the new place
/// before it leaves the old one.
const LOOKS: [Stage; 3] = [Stage::Established, Stage::HalfOpen, Stage::Established];

/// Copies the flow of a tuple as the client sends it, of any age.
#[inline(always)]
pub fn find<F: Family, T: Tables<F>>(
    tables: &T,
    key: &Tuple<F::Address>,
    into: &mut Flow,
) -> Found<Known<T::Place>> {
    for stage in LOOKS {
        if let Some(place) = tables.flow(stage, key, into)? {
            return Ok(Some(Known { stage, place }));
        }
    }
    Ok(None)
}

/// Copies the flow that a backend's packet answers, and the tuple that its client sends.
#[inline(always)]
pub fn find_reply<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Found<Known<T::Place>> {
    let (key, reverse) = (&frame.datagram.tuple, &mut frame.reverse);
    find_owner::<F, T>(tables, key, reverse, &mut frame.owner, &mut frame.flow)
}

/// The same for any packet of a backend's: that of `frame.reverse_key`.
#[inline(always)]
pub fn find_answered<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Found<Known<T::Place>> {
    let (key, reverse) = (&frame.reverse_key, &mut frame.reverse);
    find_owner::<F, T>(tables, key, reverse, &mut frame.owner, &mut frame.flow)
}

#[inline(always)]
fn find_owner<F: Family, T: Tables<F>>(
    tables: &T,
    key: &Tuple<F::Address>,
    reverse: &mut Reverse,
    owner: &mut Tuple<F::Address>,
    flow: &mut Flow,
) -> Found<Known<T::Place>> {
    if find_reverse(tables, key, reverse)?.is_none() {
        return Ok(None);
    }
    write_owner::<F>(owner, key, reverse);
    let known = find(tables, owner, flow)?;
    Ok(known.filter(|_| flow.born_ns == reverse.born_ns))
}

/// Whether replies to `frame.target` would be told apart from those of all other flows: no other
/// flow has this backend, this client and the port that the backend sees. A reverse entry whose
/// flow is gone is removed on the way.
///
/// Out of line, like the other rare steps: each keeps its temporaries to itself.
#[inline(never)]
pub fn is_free<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    timeouts: &Timeouts,
) -> Result<bool, Torn> {
    write_reverse_key::<F>(&mut frame.reverse_key, &frame.datagram.tuple, &frame.target);
    let Some(stage) = find_reverse(tables, &frame.reverse_key, &mut frame.reverse)? else {
        return Ok(true);
    };
    write_owner::<F>(&mut frame.owner, &frame.reverse_key, &frame.reverse);
    let known = find(tables, &frame.owner, &mut frame.flow)?;
    let taken = known.is_some()
        && frame.flow.born_ns == frame.reverse.born_ns
        && age(&frame.flow, tables.now_ns(), timeouts) != Age::Gone;
    if !taken {
        tables.remove_reverse(stage, &frame.reverse_key);
    }
    Ok(!taken)
}

/// Makes both entries of a new flow to `frame.choice` at `frame.target`. Both become those of the
/// other flow where another processor has just opened the same one.
#[inline(never)]
pub fn open<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    timeouts: &Timeouts,
) -> Result<(), Reason> {
    let now_ns = tables.now_ns();
    fill_flow::<F>(frame, now_ns, timeouts);
    let serving = F::narrow(frame.target.address);
    ends::leave::<F, T>(tables, &frame.datagram.tuple.destination, &serving);
    match tables.insert_flow(Stage::HalfOpen, &frame.datagram.tuple, &frame.flow) {
        Ok(()) => {}
        Err(InsertError::Full) => return Err(Reason::FlowTableFull),
        Err(InsertError::Taken) => {
            let other = find(tables, &frame.datagram.tuple, &mut frame.flow)?;
            frame.target = Target::of(&frame.flow);
            frame.choice = Choice::of(&frame.flow);
            let stage = other.ok_or(Reason::Raced)?.stage;
            return lead_back(tables, frame, stage).map_err(refused);
        }
    }
    let made = lead_back(tables, frame, Stage::HalfOpen);
    if made.is_err() {
        tables.remove_flow(Stage::HalfOpen, &frame.datagram.tuple);
    }
    made.map_err(refused)
}

/// Makes the reverse entry of `frame.flow` to `frame.target`. Whoever sends a packet on in a flow
/// that has just begun does, or the answer might come before it is made by who began.
#[inline(never)]
pub fn lead_back<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    stage: Stage,
) -> Result<(), InsertError> {
    write_reverse_key::<F>(&mut frame.reverse_key, &frame.datagram.tuple, &frame.target);
    fill_reverse::<F>(frame, frame.flow.born_ns);
    let made = tables.insert_reverse(stage, &frame.reverse_key, &frame.reverse);
    if made == Err(InsertError::Taken) {
        let there = tables.reverse(stage, &frame.reverse_key, &mut frame.reverse);
        if there == Ok(Some(())) && leads_to_flow::<F>(frame) {
            return Ok(());
        }
    }
    made
}

/// Whether `frame.reverse` is the entry of `frame.flow`. Compared word by word: a copy of what it
/// should be is too much for a program's stack.
#[inline(always)]
fn leads_to_flow<F: Family>(frame: &Frame<F::Address>) -> bool {
    let (reverse, tuple) = (&frame.reverse, &frame.datagram.tuple);
    reverse.born_ns == frame.flow.born_ns
        && reverse.service_address == F::widen(tuple.destination)
        && reverse.service_port == tuple.destination_port
        && reverse.client_port == tuple.source_port
}

/// Moves `frame.flow`, which `frame.touch` completes, to the tables that evict nothing.
#[inline(never)]
pub fn promote<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<(), Reason> {
    frame.target = Target::of(&frame.flow);
    write_reverse_key::<F>(&mut frame.reverse_key, &frame.datagram.tuple, &frame.target);
    frame.flow.client_seen = frame.touch.seen;
    frame.flow.client_progress = frame.touch.progress;
    frame.flow.expires_ns = frame.touch.expires_ns;
    match insert(tables, frame) {
        Ok(()) => {}
        // Another processor is at it.
        Err(InsertError::Taken) => return Ok(()),
        Err(InsertError::Full) => return Err(Reason::FlowTableFull),
    }
    fill_reverse::<F>(frame, frame.flow.born_ns);
    let made = tables.insert_reverse(Stage::Established, &frame.reverse_key, &frame.reverse);
    if let Err(error) = made {
        tables.remove_flow(Stage::Established, &frame.datagram.tuple);
        // Its replies would be another flow's, which came when the kernel had dropped its own
        // reverse entry: the next packet begins anew.
        if error == InsertError::Taken {
            tables.remove_flow(Stage::HalfOpen, &frame.datagram.tuple);
        }
        return Err(refused(error));
    }
    tables.remove_reverse(Stage::HalfOpen, &frame.reverse_key);
    tables.remove_flow(Stage::HalfOpen, &frame.datagram.tuple);
    Ok(())
}

/// Makes `frame.flow` where nothing is evicted, with its entry in the queue, or not at all.
///
/// The flow first: the sweep drops an entry without a flow.
#[inline(always)]
fn insert<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<(), InsertError> {
    let key = &frame.datagram.tuple;
    tables.insert_flow(Stage::Established, key, &frame.flow)?;
    frame.expiry.born_ns = frame.flow.born_ns.to_ne_bytes();
    frame.expiry.key = *key;
    if tables.add_expiry(&frame.expiry) {
        return Ok(());
    }
    tables.remove_flow(Stage::Established, key);
    Err(InsertError::Full)
}

/// Whether a reply to `frame.flow`, which is half open, would find it.
#[inline(never)]
pub fn is_answerable<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let tuple = &frame.datagram.tuple;
    write_reverse_key::<F>(&mut frame.reverse_key, tuple, &Target::of(&frame.flow));
    let found = tables.reverse(Stage::HalfOpen, &frame.reverse_key, &mut frame.reverse)?;
    Ok(found.is_some() && frame.reverse.born_ns == frame.flow.born_ns)
}

/// Whether a flow is one to the pod that its client has dialled: see [`crate::direct`].
#[inline(always)]
pub fn is_direct<F: Family>(flow: &Flow, dialled: &Tuple<F::Address>) -> bool {
    F::narrow(flow.address) == dialled.destination
}

/// Removes both entries of `frame.flow`, unless another processor has begun anew in its place.
#[inline(never)]
pub fn forget<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    stage: Stage,
) -> Result<(), Torn> {
    frame.target = Target::of(&frame.flow);
    write_reverse_key::<F>(&mut frame.reverse_key, &frame.datagram.tuple, &frame.target);
    let found = tables.reverse(stage, &frame.reverse_key, &mut frame.reverse)?;
    // The key may serve another flow by now, where this one had lost its entry.
    let born_ns = frame.flow.born_ns;
    if found.is_some() && frame.reverse.born_ns == born_ns {
        tables.remove_reverse(stage, &frame.reverse_key);
    }
    let found = tables.flow(stage, &frame.datagram.tuple, &mut frame.flow)?;
    if found.is_some() && frame.flow.born_ns == born_ns {
        tables.remove_flow(stage, &frame.datagram.tuple);
    }
    Ok(())
}

/// Whether the client's packet of `frame.touch` makes a half-open flow an established one: it
/// completes the handshake, or follows the backend's answer.
///
/// A datagram and its answer alone do not: whoever asks a name server does so from another port
/// each time, and would fill the tables with flows that are over.
#[inline(always)]
pub fn completes<F: Family>(stage: Stage, frame: &Frame<F::Address>) -> bool {
    let has_met = if frame.datagram.is_tcp() {
        frame.touch.seen & seen::ACK
    } else {
        frame.flow.backend_seen & seen::DATA
    };
    stage == Stage::HalfOpen && has_met != 0
}

/// Writes the key of a flow's reverse entry, from the tuple that its client sends.
#[inline(always)]
pub fn write_reverse_key<F: Family>(
    key: &mut Tuple<F::Address>,
    tuple: &Tuple<F::Address>,
    target: &Target,
) {
    F::set_addresses(key, F::narrow(target.address), tuple.source);
    key.set_ports(target.port, target.client_port, tuple.protocol);
}

/// Whether there is an entry under `frame.reverse_key`, of any age.
#[inline(always)]
pub fn has_reverse<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    Ok(find_reverse(tables, &frame.reverse_key, &mut frame.reverse)?.is_some())
}

#[inline(always)]
fn find_reverse<F: Family, T: Tables<F>>(
    tables: &T,
    key: &Tuple<F::Address>,
    into: &mut Reverse,
) -> Found<Stage> {
    if !ends::may_be::<F, T>(tables, End::Serving, &key.source) {
        return Ok(None);
    }
    for stage in LOOKS {
        if tables.reverse(stage, key, into)?.is_some() {
            return Ok(Some(stage));
        }
    }
    Ok(None)
}

/// Writes the tuple that the client of a reverse entry sends.
#[inline(always)]
fn write_owner<F: Family>(
    owner: &mut Tuple<F::Address>,
    key: &Tuple<F::Address>,
    reverse: &Reverse,
) {
    let service = F::narrow(reverse.service_address);
    F::set_addresses(owner, key.destination, service);
    owner.set_ports(reverse.client_port, reverse.service_port, key.protocol);
}

#[inline(always)]
fn refused(error: InsertError) -> Reason {
    match error {
        InsertError::Full => Reason::FlowTableFull,
        InsertError::Taken => Reason::Raced,
    }
}

#[inline(always)]
fn fill_flow<F: Family>(frame: &mut Frame<F::Address>, now_ns: u64, timeouts: &Timeouts) {
    let (Datagram { tuple, .. }, choice) = (&frame.datagram, frame.choice);
    let (client_seen, next) = if frame.datagram.is_tcp() {
        (seen::SYN, frame.datagram.next)
    } else {
        (seen::DATA, 0)
    };
    let client_progress = Progress {
        next,
        acknowledged: 0,
    };
    let state = state(tuple.protocol, client_seen, 0);
    let flow = &mut frame.flow;
    flow.born_ns = now_ns;
    flow.identity = fingerprint(tuple);
    flow.expires_ns = now_ns.saturating_add(timeout_ns(state, timeouts));
    flow.epoch = choice.epoch;
    flow.backend = choice.backend;
    flow.client_seen = client_seen;
    flow.backend_seen = if frame.past == Past::Flow.byte() {
        seen::AGAIN
    } else {
        0
    };
    flow.port = frame.target.port;
    flow.client_port = frame.target.client_port;
    flow.address = frame.target.address;
    flow.service_id = choice.service_id;
    flow.pad = 0;
    flow.client_progress = client_progress.word();
    flow.backend_progress = 0;
    flow.born_ns_end = now_ns;
}

/// The reverse entry of the frame's flow, under the frame's reverse key.
#[inline(always)]
fn fill_reverse<F: Family>(frame: &mut Frame<F::Address>, born_ns: u64) {
    let tuple = &frame.datagram.tuple;
    let reverse = &mut frame.reverse;
    reverse.born_ns = born_ns;
    reverse.identity = fingerprint(&frame.reverse_key);
    reverse.service_address = F::widen(tuple.destination);
    reverse.service_port = tuple.destination_port;
    reverse.client_port = tuple.source_port;
    reverse.pad = 0;
    reverse.born_ns_end = born_ns;
}
