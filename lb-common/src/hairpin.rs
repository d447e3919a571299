// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hairpin: a pod dials a Service and is given itself.
//!
//! With only its destination changed, such a packet would come back to the pod from the pod's own
//! address: IPv4 drops that as a martian, and an answer to it would stay inside the pod, where
//! nobody awaits it. So the pod is shown the Service's address as the source: its answer comes out
//! again. Both packets pass both hooks of the pod's edge, and each hook changes one end:
//!
//! | the pod sends | ingress makes of it | egress makes of it |
//! | --- | --- | --- |
//! | pod → Service, as a client | pod → pod | Service → pod, here |
//! | pod → Service, as a backend | pod → pod, here | Service → pod, as of every reply |
//!
//! Between the hooks the source is the pod's own, so no filter of the host's stack objects to it.

use crate::conntrack::{self, Age};
use crate::family::Family;
use crate::frame::Frame;
use crate::service;
use crate::tables::{Tables, Torn};

/// Whether a pod could answer itself at `frame.target`: what it sends between these two ports of
/// its own belongs to no flow the other way round, and its answers are not for a Service's port.
#[inline(never)]
pub fn is_free<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let (port, client_port) = (frame.target.port, frame.target.client_port);
    let dialled = frame.datagram.tuple.destination;
    if port == client_port || service::has_port(tables, frame, dialled, client_port)? {
        return Ok(false);
    }
    let (tuple, target) = (&frame.datagram.tuple, &frame.target);
    conntrack::write_reverse_key::<F>(&mut frame.reverse_key, tuple, target);
    frame.reverse_key = frame.reverse_key.turned();
    // Also one whose flow is over: there are other ports.
    Ok(!conntrack::has_reverse(tables, frame)?)
}

/// Whether a packet between two ports of one pod is on its way to it as a backend; then `frame.to`
/// is what the pod can answer.
#[inline(always)]
pub fn find_request<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let tuple = &frame.datagram.tuple;
    if tuple.source != tuple.destination {
        return Ok(false);
    }
    frame.reverse_key = tuple.turned();
    if !is_flow(tables, frame)? {
        return Ok(false);
    }
    frame.to = frame.datagram.tuple;
    frame.to.source = frame.owner.destination;
    Ok(true)
}

/// Whether a packet to a Service's address is a pod's answer to itself; then `frame.to` is what
/// the reply's hook translates.
#[inline(always)]
pub fn find_answer<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    frame.to = frame.datagram.tuple;
    frame.to.destination = frame.datagram.tuple.source;
    frame.reverse_key = frame.to;
    Ok(is_flow(tables, frame)? && frame.owner.destination == frame.datagram.tuple.destination)
}

/// Whether `frame.reverse_key` is what a backend sends in a flow that is not over.
#[inline(always)]
fn is_flow<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let known = conntrack::find_answered(tables, frame)?;
    let timeouts = &tables.node().timeouts;
    Ok(known.is_some() && conntrack::age(&frame.flow, tables.now_ns(), timeouts) != Age::Gone)
}
