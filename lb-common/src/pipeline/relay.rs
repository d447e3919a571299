// SPDX-License-Identifier: MIT OR Apache-2.0
//! XDP at an uplink: what one other machine sends to another by way of this node goes on at once.
//!
//! That is a client's packet whose backend is behind an uplink as well, and such a backend's
//! answer. Both ends of it change in one run, where TC changes one at ingress and one at egress. As
//! the packet leaves without the host's stack, what holds for direct delivery holds here
//! ([`crate::delivery`]); everything else goes on to TC as it came. Flows and masquerades are the
//! same ones, so each packet of a flow may go either way.

use super::{aim_at_backend, aim_at_client, begin, dialled, holds, resume, tunnel};
use crate::conntrack::{self, Age, Past, Step, Target};
use crate::ends;
use crate::family::Own;
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Side, Stage, Tables};
use crate::tunnel::{Format, errand};
use crate::verdict::Reason;
use crate::wire::Mask;
use crate::{delivery, dns, masquerade, rewrite};

/// A backend's packet to this node, on to the client that it has seen as this node.
#[inline(always)]
pub(super) fn answer_to_client<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !masquerade::find(tables, frame, Mask::DESTINATION)? {
        return Err(Reason::NotReply);
    }
    // From here on it is what TC would have made of it at ingress; what came is kept.
    frame.answer = frame.datagram.tuple;
    frame.datagram.tuple = frame.to;
    let known = conntrack::find_reply(tables, frame)?.ok_or(Reason::Continued)?;
    let now_ns = tables.about_now_ns();
    let node = tables.node();
    if conntrack::age(&frame.flow, now_ns, &node.timeouts) == Age::Gone
        || conntrack::is_strange(&frame.flow, known.stage, &frame.datagram)
    {
        return Err(Reason::Continued);
    }
    let (datagram, tuple) = (&frame.datagram, &frame.datagram.tuple);
    let notes = (
        &mut frame.passage,
        &mut frame.uplink,
        &mut frame.mask.onwards,
    );
    let found = delivery::find_onwards::<F, P, T>(packet, tables, datagram, tuple, notes);
    let going = found.ok_or(Reason::Continued)?;
    if going.is_news {
        tables.remember_onwards(&frame.answer, &frame.mask);
    }
    match conntrack::follow::<F>(frame, Side::Backend, now_ns, &node.timeouts) {
        Step::Touched => {
            let (flow, touch) = (&frame.flow, &frame.touch);
            tables.touch(known.stage, known.place, flow, Side::Backend, touch);
        }
        Step::Unbelieved => return Err(Reason::Continued),
        Step::Nothing => {}
    }

    aim_at_client::<F>(frame);
    frame.datagram.tuple = frame.answer;
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    delivery::hand_over::<F, P>(packet, &frame.passage, going.left)?;
    Ok(Reason::RelayedBack)
}

/// A client's packet of a flow that is known, on to its backend, which sees it as this node's. What
/// the step before has read of it is not read again.
#[inline(always)]
pub(super) fn request_to_backend<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if ends::is_of_none::<F, T>(tables, frame) || frame.datagram.is_first != 0 {
        return Err(Reason::Continued);
    }
    if dns::is_asked::<F, T>(tables, &frame.datagram) {
        return Err(Reason::Continued);
    }
    let known = conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?;
    let known = known.ok_or(Reason::NotService)?;
    let now_ns = tables.about_now_ns();
    let node = tables.node();
    // What has no masquerade has a backend on this node, or none: that is seen to before anything
    // is written.
    frame.target = Target::of(&frame.flow);
    aim_at_backend::<F>(frame);
    if !masquerade::is_shown(tables, frame)? || !holds(tables, frame, known.stage, &node, now_ns)? {
        return Err(Reason::Continued);
    }
    let hops_left = way(packet, tables, frame)?;
    if resume(tables, frame, &known, &node, now_ns)? == Reason::Unbelieved {
        return Err(Reason::Continued);
    }
    send_on::<F, P>(packet, frame, hops_left)
}

/// The first packet of a flow: chooses its backend.
#[inline(always)]
pub(super) fn first_request<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    frame.past = Past::Nothing.byte();
    if !dialled(packet, tables, frame)? {
        return Err(Reason::Continued);
    }
    // What is under way in a tunnel has been looked for before.
    let is_wanted = Format::of_flags(frame.destination.flags).is_some();
    if is_wanted && tunnel::may_enter(tables, frame) {
        frame.errand = errand::ENTER;
        return Err(Reason::Untunnelled);
    }
    let node = tables.node();
    begin(tables, frame, &node)?;
    aim_at_backend::<F>(frame);
    Ok(Reason::Forwarded)
}

/// The same packet, on to that backend. Where it turns out to be on this node, the packet is TC's,
/// which finds the flow begun.
#[inline(always)]
pub(super) fn first_to_backend<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    match masquerade::begin(packet, tables, frame) {
        Ok(true) => {}
        Ok(false) => return Err(Reason::Continued),
        Err(reason) => {
            conntrack::forget(tables, frame, Stage::HalfOpen)?;
            return Err(reason);
        }
    }
    let hops_left = way(packet, tables, frame)?;
    send_on::<F, P>(packet, frame, hops_left)
}

/// The way of a client's packet, and the hops that it has left.
#[inline(always)]
fn way<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<u8, Reason> {
    let (datagram, to) = (&frame.datagram, &frame.to);
    let notes = (
        &mut frame.passage,
        &mut frame.uplink,
        &mut frame.mask.onwards,
    );
    let found = delivery::find_onwards::<F, P, T>(packet, tables, datagram, to, notes);
    let going = found.ok_or(Reason::Continued)?;
    if going.is_news {
        tables.remember_onwards(&frame.to, &frame.mask);
    }
    Ok(going.left)
}

#[inline(always)]
fn send_on<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    frame: &mut Frame<F::Address>,
    hops_left: u8,
) -> Result<Reason, Reason> {
    masquerade::show::<F>(frame);
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    delivery::hand_over::<F, P>(packet, &frame.passage, hops_left)?;
    Ok(Reason::Relayed)
}
