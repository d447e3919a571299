// SPDX-License-Identifier: MIT OR Apache-2.0
//! A flow that is known: whether a client's packet goes on in it.

use crate::conntrack::{self, Age, Known, Past, Step, Target, seen};
use crate::family::Family;
use crate::frame::Frame;
use crate::tables::{Side, Stage, Tables};
use crate::verdict::Reason;
use crate::wire::{BackendState, Node};

/// Whether a client's packet goes on in the flow that its tuple names; otherwise the choice is
/// made anew.
#[inline(always)]
pub(super) fn holds<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
    stage: Stage,
    node: &Node,
    now_ns: u64,
) -> Result<bool, Reason> {
    let (flow, datagram) = (&frame.flow, &frame.datagram);
    let (is_tcp, opens) = (datagram.is_tcp(), datagram.opens());
    match conntrack::age(flow, now_ns, &node.timeouts) {
        Age::Gone => return Ok(false),
        // Stray segments of an ended connection must not leave untranslated; a new one is new.
        Age::Tombstone => return Ok(is_tcp && !opens),
        // The client's SYN comes again: it met another connection.
        Age::Live if opens && conntrack::has_met_another(flow) => return Ok(false),
        Age::Live => {}
    }
    let backend = tables
        .backend(flow.backend)?
        .filter(|backend| backend.epoch == flow.epoch);
    let found = backend.map(|backend| BackendState::from_byte(backend.state));
    let serves = matches!(found, Some(BackendState::Active | BackendState::Draining))
        // Whoever dials a pod itself has chosen it, whatever it is to its Service.
        || conntrack::is_direct::<F>(flow, &datagram.tuple);
    if !serves {
        // A connection stays where it is, though its backend is not ready or gone: only the two
        // ends can end it. It is one as soon as the backend has answered, since the client may
        // count itself as connected then. A datagram goes to a backend that serves, and so does a
        // client that begins anew.
        let has_answered = stage == Stage::Established || flow.backend_seen & seen::SYN != 0;
        // Unless it is a connection still, and its backend is there to tell so (RFC 5961,
        // section 4): whoever forges a SYN would cut it.
        let moves = opens && (found.is_none() || !conntrack::is_established(flow));
        return Ok(is_tcp && has_answered && !moves);
    }
    // The LRU tables may have dropped the reverse entry alone: who begins, or waits for an answer,
    // mends that.
    let waits = opens || !is_tcp && conntrack::waits(flow, now_ns, &node.timeouts);
    Ok(stage == Stage::Established || !waits || conntrack::is_answerable(tables, frame)?)
}

/// Makes room for a new flow where `frame.flow` does not hold; how its packet ends if no Service
/// is there to begin one with.
#[inline(always)]
pub(super) fn give_up<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    stage: Option<Stage>,
    node: &Node,
    now_ns: u64,
) -> Result<Reason, Reason> {
    let Some(stage) = stage else {
        frame.past = Past::Nothing.byte();
        return Ok(Reason::NotService);
    };
    // An entry that nobody has removed yet is as good as none.
    let is_over = conntrack::age(&frame.flow, now_ns, &node.timeouts) == Age::Gone;
    let is_direct = conntrack::is_direct::<F>(&frame.flow, &frame.datagram.tuple);
    frame.past = Past::of(&frame.flow).byte();
    conntrack::forget(tables, frame, stage)?;
    Ok(if is_over || is_direct {
        Reason::NotService
    } else {
        Reason::BackendGone
    })
}

/// Writes down that a flow's packet was seen; the one that completes the handshake moves the flow.
#[inline(always)]
pub(super) fn resume<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    known: &Known<T::Place>,
    node: &Node,
    now_ns: u64,
) -> Result<Reason, Reason> {
    frame.target = Target::of(&frame.flow);
    if known.stage == Stage::HalfOpen && conntrack::is_new(&frame.flow, now_ns) {
        // It is there already, most often; where it is another flow's, this one's end is near.
        let _made = conntrack::lead_back(tables, frame, known.stage);
        frame.is_begun = 1;
    }
    match conntrack::follow::<F>(frame, Side::Client, now_ns, &node.timeouts) {
        Step::Unbelieved => return Ok(Reason::Unbelieved),
        _ if conntrack::completes::<F>(known.stage, frame) => conntrack::promote(tables, frame)?,
        Step::Touched => {
            let (flow, touch) = (&frame.flow, &frame.touch);
            tables.touch(known.stage, known.place, flow, Side::Client, touch);
        }
        Step::Nothing => {}
    }
    Ok(Reason::Forwarded)
}
