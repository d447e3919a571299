// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that is dialled itself, from the very port of a flow to it by way of a Service: the pod
//! could not tell the two apart, and its answers would come from the Service. So it sees another
//! port, and what is dialled directly becomes a flow of ours, too.
//!
//! This is one way round. Nobody knows of connections that are none of ours, so a flow that begins
//! after such a one learns of it from the pod, which does not answer the SYN as a new one
//! ([`crate::conntrack::is_strange`]): then the client's next SYN goes by another port.

use crate::conntrack::{self, Age, Choice, Target};
use crate::family::Family;
use crate::frame::Frame;
use crate::tables::Tables;
use crate::verdict::Reason;
use crate::{port, select};

/// Ports that are tried.
const ATTEMPTS: u16 = 4;

/// Opens a flow for what begins here, if it needs one; then `frame.target` is where it goes.
#[inline(always)]
pub fn open<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Reason> {
    let datagram = &frame.datagram;
    if datagram.is_tcp() && !datagram.opens() {
        return Ok(false);
    }
    frame.reverse_key = datagram.tuple.turned();
    let node = tables.node();
    let known = conntrack::find_answered(tables, frame)?;
    if known.is_none() || conntrack::age(&frame.flow, tables.now_ns(), &node.timeouts) == Age::Gone
    {
        return Ok(false);
    }
    frame.choice = Choice::of(&frame.flow);
    // A SYN answers nothing. A datagram may be an answer to a client that this pod dials as well.
    if !frame.datagram.is_tcp() {
        frame.reverse_key = frame.datagram.tuple;
        if conntrack::has_reverse(tables, frame)? {
            return Ok(false);
        }
    }
    select::mark::<F>(node.seed, frame);
    for attempt in 0..ATTEMPTS {
        let tuple = &frame.datagram.tuple;
        frame.target = Target {
            address: F::widen(tuple.destination),
            port: tuple.destination_port,
            client_port: port::propose(&node, &frame.mark, attempt).ok_or(Reason::NoPort)?,
        };
        if conntrack::is_free(tables, frame, &node.timeouts)? {
            conntrack::open(tables, frame, &node.timeouts)?;
            return Ok(true);
        }
    }
    Err(Reason::NoPort)
}
