// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows that netfilter's conntrack owns: while we take over from a kube-proxy, whatever it has
//! begun stays with the host's stack until it ends.
//!
//! conntrack's own list has what began before us, and packets show what began while that list was
//! being read. Both are in `FOREIGN`; the agent removes what conntrack no longer knows.

use crate::family::Family;
use crate::frame::Frame;
use crate::tables::Tables;
use crate::verdict::Reason;
use crate::wire::{Node, Takeover, Timeouts, fingerprint};

/// How much later a packet must come for its time to be written down.
const RENEW_NS: u64 = 1_000_000_000;

/// Leaves a packet to the host's stack if its flow is conntrack's, or may be; otherwise a new flow
/// of ours may begin. Only for packets to a Service that belong to no flow of ours.
///
/// Out of line, like the other rare steps.
#[inline(never)]
pub fn stand_aside<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    node: &Node,
) -> Result<(), Reason> {
    let now_ns = tables.now_ns();
    let (is_tcp, opens) = (frame.datagram.is_tcp(), frame.datagram.opens());
    let is_there = tables
        .foreign(&frame.datagram.tuple, &mut frame.foreign)?
        .is_some();
    let end_ns = frame
        .foreign
        .seen_ns
        .saturating_add(silence_ns(is_tcp, &node.timeouts));
    let is_known = is_there && now_ns < end_ns;
    let is_ours = if node.takeover == Takeover::Observing.number() {
        false
    } else if is_known {
        // Whoever begins anew after the old connection begins with us; one whose SYN-ACK was lost
        // does not.
        opens && frame.foreign.has_gone_on != 0
    } else if is_tcp && !opens && node.takeover == Takeover::Moving.number() {
        // It may be ours, and not have come here yet. TCP sends it again.
        return Err(Reason::NoFlow);
    } else {
        // In the middle of a connection, which we have not begun.
        !is_tcp || opens
    };
    if is_ours {
        if is_there {
            tables.remove_foreign(&frame.datagram.tuple);
        }
        return Ok(());
    }
    let has_gone_on = u32::from(!opens);
    let is_written = is_known
        && frame.foreign.has_gone_on == has_gone_on
        && now_ns < frame.foreign.seen_ns.saturating_add(RENEW_NS);
    if is_written {
        return Err(Reason::Foreign);
    }
    let foreign = &mut frame.foreign;
    foreign.seen_ns = now_ns;
    foreign.identity = fingerprint(&frame.datagram.tuple);
    foreign.has_gone_on = has_gone_on;
    foreign.pad = 0;
    foreign.seen_ns_end = now_ns;
    Err(if tables.put_foreign(&frame.datagram.tuple, foreign) {
        Reason::Foreign
    } else {
        Reason::ForeignUnknown
    })
}

/// How long a flow may be silent and still be conntrack's, should no agent live to ask it.
#[inline(always)]
const fn silence_ns(is_tcp: bool, timeouts: &Timeouts) -> u64 {
    if is_tcp {
        timeouts.established_ns
    } else {
        timeouts.udp_answered_ns
    }
}
