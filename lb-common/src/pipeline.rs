// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole path of a packet: every branch is here, the stages only compute. What is not every
//! packet's way has a file of its own.

mod aside;
mod begin;
mod directly;
mod errors;
mod fragments;
mod known;
mod outside;
mod relay;
mod tunnel;
mod uplink;

pub use uplink::uplink;

use crate::conntrack::{self, Age, Step, seen};
use crate::ends::{self, End};
use crate::family::{Family, Own, V4, V6};
use crate::frame::{Frame, Frames};
use crate::packet::Packet;
use crate::parse::{ethertype, parse};
use crate::tables::{Side, Tables};
use crate::tunnel::{errand, met};
use crate::verdict::{Reason, Verdict};
use crate::{delivery, dns, refuse, rewrite};
use aside::{is_unknown, request_to_itself, unknown_to_backend};
use begin::{begin, dialled};
use directly::{forwarded_directly, replied_directly};
use errors::{error_to_backend, error_to_client};
use fragments::{first_fragment, fragment_to_backend, fragment_to_client};
use known::{give_up, holds, resume};
use outside::{answered_to_node, begun_from_outside, sent_as_node};
use relay::{answer_to_client, first_request, first_to_backend, request_to_backend};
use tunnel::{
    error_on_the_way, flow_of_this_node, is_under_way, may_enter, packet_in_tunnel,
    packet_of_known, packet_of_unknown, packet_out_of_tunnel, to_who_is_answered,
};

/// TC ingress at an edge: a client's packet on its way to a Service's backend.
#[inline(always)]
pub fn ingress<P: Packet + ?Sized, T: Tables<V4> + Tables<V6>>(
    packet: &mut P,
    tables: &mut T,
    frames: &mut Frames,
) -> Reason {
    match ethertype(packet) {
        Ok(V4::ETHERTYPE) => towards_backend::<V4, P, T>(packet, tables, &mut frames.narrow),
        Ok(V6::ETHERTYPE) => towards_backend::<V6, P, T>(packet, tables, &mut frames.wide),
        Ok(_) => Reason::NotIp,
        Err(reason) => reason,
    }
}

/// TC ingress where the programs of the kernel are one: with what answers questions for names, and
/// what leads into tunnels and out of them, to which a packet goes from one and comes back.
pub fn ingress_and_more<P: Packet + ?Sized, T: Tables<V4> + Tables<V6>>(
    packet: &mut P,
    tables: &mut T,
    frames: &mut Frames,
) -> Reason {
    // What was one in a tunnel may be a question.
    for _time in 0..2 {
        let end = ingress(packet, tables, frames);
        let further = match end {
            Reason::NameUnanswered => names(packet, tables, frames),
            Reason::Untunnelled => tunnel(packet, tables, frames),
            end => return end,
        };
        if let Some(end) = further {
            return end;
        }
    }
    ingress(packet, tables, frames)
}

/// Does the errand of a packet that `ingress` has ended for with [`Reason::Untunnelled`]: leads it
/// into a tunnel or out of one; none: `ingress` goes on with it, as it is now. The frames are as
/// `ingress` has left them.
#[inline(always)]
pub fn tunnel<P: Packet + ?Sized, T: Tables<V4> + Tables<V6>>(
    packet: &mut P,
    tables: &mut T,
    frames: &mut Frames,
) -> Option<Reason> {
    match ethertype(packet).ok()? {
        V4::ETHERTYPE => through_tunnel::<V4, P, T>(packet, tables, &mut frames.narrow),
        V6::ETHERTYPE => through_tunnel::<V6, P, T>(packet, tables, &mut frames.wide),
        _ => None,
    }
}

/// Answers a question that `ingress` has ended for with [`Reason::NameUnanswered`]; none: the
/// packet is as it was, and `ingress` goes on with it. The frames are as `ingress` has left them.
#[inline(always)]
pub fn names<P: Packet + ?Sized, T: Tables<V4> + Tables<V6>>(
    packet: &mut P,
    tables: &mut T,
    frames: &mut Frames,
) -> Option<Reason> {
    let Frames {
        narrow,
        wide,
        names,
    } = frames;
    match ethertype(packet).ok()? {
        V4::ETHERTYPE => {
            let end = dns::answer::<V4, P, T>(packet, tables, &narrow.datagram, names);
            narrow.is_left = u8::from(end.is_none());
            end
        }
        V6::ETHERTYPE => {
            let end = dns::answer::<V6, P, T>(packet, tables, &wide.datagram, names);
            wide.is_left = u8::from(end.is_none());
            end
        }
        _ => None,
    }
}

/// TC egress at an edge: a backend's packet on its way to the client.
#[inline(always)]
pub fn egress<P: Packet + ?Sized, T: Tables<V4> + Tables<V6>>(
    packet: &mut P,
    tables: &mut T,
    frames: &mut Frames,
) -> Reason {
    match ethertype(packet) {
        Ok(V4::ETHERTYPE) => towards_client::<V4, P, T>(packet, tables, &mut frames.narrow),
        Ok(V6::ETHERTYPE) => towards_client::<V6, P, T>(packet, tables, &mut frames.wide),
        Ok(_) => Reason::NotIp,
        Err(reason) => reason,
    }
}

/// Whatever comes from the client's side. What is rare comes last, when the stack is free again.
#[inline(always)]
fn towards_backend<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    let mut end = match forward::<F, P, T>(packet, tables, frame) {
        Reason::OtherProtocol => forward_error::<F, P, T>(packet, tables, frame),
        Reason::Fragment => forward_fragment::<F, P, T>(packet, tables, frame),
        end => end,
    };
    if matches!(end, Reason::Forwarded | Reason::Unpinned) && frame.is_begun != 0 {
        let masked = begun::<F, P, T>(packet, tables, frame);
        if masked != Reason::Forwarded {
            end = masked;
        }
    }
    if end == Reason::NotService && delivery::is_on(tables) {
        end = reply_at_once::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::NotService
        && ends::may_be::<F, T>(tables, End::Behind, &frame.datagram.tuple.source)
    {
        end = to_node::<F, P, T>(packet, tables, frame);
    }
    end = met::<F>(frame, end);
    if is_unknown(end) {
        frame.end = end.number();
        end = aside::<F, P, T>(packet, tables, frame);
    }
    if frame.datagram.is_first != 0 {
        end = first_fragment(tables, frame, Side::Client, end);
    }
    if end == Reason::Forwarded && delivery::is_on(tables) {
        end = deliver::<F, P, T>(packet, tables, frame);
    }
    if end.verdict() == Verdict::Answer {
        end = refuse::answer::<F, P, T>(packet, tables, frame, end);
    }
    end
}

/// Whatever has an errand.
#[inline(always)]
fn through_tunnel<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Option<Reason> {
    let mut end = match frame.errand {
        errand::LEAVE => take_out::<F, P, T>(packet, tables, frame),
        errand::HEED => Reason::NotReply,
        _ => put_in::<F, P, T>(packet, tables, frame),
    };
    if end == Reason::NotReply && matches!(frame.errand, errand::FOLLOW | errand::HEED) {
        end = heed::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::NotReply && matches!(frame.errand, errand::ENTER | errand::GO_ON) {
        end = put_in_first::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::Continued && frame.errand == errand::ENTER {
        end = begin_here::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::Forwarded {
        end = serve::<F, P, T>(packet, tables, frame);
    }
    if end.verdict() == Verdict::Answer {
        end = refuse::answer::<F, P, T>(packet, tables, frame, end);
    }
    if end.verdict() == Verdict::Answer && frame.errand == errand::LEAVE {
        end = to_who_is_answered::<F, P>(packet, frame, end);
    }
    if !matches!(end, Reason::Continued | Reason::NotReply) {
        return Some(end);
    }
    frame.is_back = 1;
    None
}

/// Whatever comes from the backend's side; likewise.
#[inline(always)]
fn towards_client<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    let mut end = match reply::<F, P, T>(packet, tables, frame) {
        Reason::OtherProtocol => reply_error::<F, P, T>(packet, tables, frame),
        Reason::Fragment => reply_fragment::<F, P, T>(packet, tables, frame),
        Reason::NotReply => hairpin::<F, P, T>(packet, tables, frame),
        end => end,
    };
    if end == Reason::NotReply
        && ends::may_be::<F, T>(tables, End::Behind, &frame.datagram.tuple.destination)
    {
        end = as_node::<F, P, T>(packet, tables, frame);
    }
    if frame.datagram.is_first != 0 {
        end = first_fragment(tables, frame, Side::Backend, end);
    }
    end
}

/// Functions of their own, one for each duty and family: each has a program's stack to itself, and
/// the compiler learns from the argument's type how the frame is aligned. They return the end
/// alone: a `Result` of it would be returned by way of a pointer, which the verifier refuses.
macro_rules! out_of_line {
    ($($name:ident = $steps:ident;)+) => {
        $(
            #[inline(never)]
            fn $name<F: Own, P: Packet + ?Sized, T: Tables<F>>(
                packet: &mut P,
                tables: &mut T,
                frame: &mut Frame<F::Address>,
            ) -> Reason {
                let end = $steps::<F, P, T>(packet, tables, frame);
                end.unwrap_or_else(|reason| reason)
            }
        )+
    };
}

out_of_line! {
    forward = datagram_to_backend;
    reply = datagram_to_client;
    forward_error = error_to_backend;
    reply_error = error_to_client;
    forward_fragment = fragment_to_backend;
    reply_fragment = fragment_to_client;
    deliver = forwarded_directly;
    reply_at_once = replied_directly;
    aside = unknown_to_backend;
    hairpin = request_to_itself;
    begun = begun_from_outside;
    as_node = sent_as_node;
    to_node = answered_to_node;
    relay = request_to_backend;
    relay_back = answer_to_client;
    relay_begun = first_request;
    relay_first = first_to_backend;
    put_in = packet_of_known;
    put_in_first = packet_of_unknown;
    begin_here = flow_of_this_node;
    take_out = packet_in_tunnel;
    heed = error_on_the_way;
    serve = packet_out_of_tunnel;
}

/// A client's datagram, to the backend.
#[inline(always)]
fn datagram_to_backend<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    frame.is_elsewhere = 0;
    frame.is_begun = 0;
    (frame.was_back, frame.is_back) = (frame.is_back, 0);
    frame.ifindex = packet.ifindex();
    parse::<F, P>(packet, &mut frame.datagram)?;
    if ends::is_of_none::<F, T>(tables, frame) {
        frame.is_elsewhere = 1;
        return Err(Reason::NotService);
    }
    if dns::is_asked::<F, T>(tables, &frame.datagram) {
        if frame.is_left == 0 {
            return Err(Reason::NameUnanswered);
        }
        frame.is_left = 0;
    }
    // The flow first: it outlives its Service, and most packets are of one that is known.
    let known = conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?;
    let now_ns = tables.about_now_ns();
    let node = tables.node();
    let end = match known {
        Some(known) if holds(tables, frame, known.stage, &node, now_ns)? => {
            resume(tables, frame, &known, &node, now_ns)?
        }
        known => {
            let stage = known.map(|known| known.stage);
            let alone = give_up(tables, frame, stage, &node, now_ns)?;
            if stage.is_none() && is_under_way(&frame.datagram) && may_enter(tables, frame) {
                frame.errand = errand::GO_ON;
                return Err(Reason::Untunnelled);
            }
            if !dialled(packet, tables, frame)? {
                return Err(alone);
            }
            if may_enter(tables, frame) {
                frame.errand = errand::ENTER;
                return Err(Reason::Untunnelled);
            }
            begin(tables, frame, &node)?
        }
    };

    aim_at_backend::<F>(frame);
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(end)
}

/// A backend's datagram, to the client.
#[inline(always)]
fn datagram_to_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    parse::<F, P>(packet, &mut frame.datagram)?;
    let known = conntrack::find_reply(tables, frame)?.ok_or(Reason::NotReply)?;
    let now_ns = tables.about_now_ns();
    let node = tables.node();
    if conntrack::age(&frame.flow, now_ns, &node.timeouts) == Age::Gone {
        return Err(Reason::NotReply);
    }
    if conntrack::is_strange(&frame.flow, known.stage, &frame.datagram) {
        let (flow, touch) = (&frame.flow, &mut frame.touch);
        touch.seen = flow.backend_seen | seen::STRANGE;
        touch.progress = flow.backend_progress;
        touch.expires_ns = flow.expires_ns;
        tables.touch(known.stage, known.place, flow, Side::Backend, touch);
        return Err(Reason::Beside);
    }
    let mut end = Reason::Replied;
    match conntrack::follow::<F>(frame, Side::Backend, now_ns, &node.timeouts) {
        Step::Touched => {
            let (flow, touch) = (&frame.flow, &frame.touch);
            tables.touch(known.stage, known.place, flow, Side::Backend, touch);
        }
        Step::Unbelieved => end = Reason::Unbelieved,
        Step::Nothing => {}
    }

    aim_at_client::<F>(frame);
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(end)
}

/// What a client's packet becomes: one to `frame.target`.
#[inline(always)]
fn aim_at_backend<F: Family>(frame: &mut Frame<F::Address>) {
    let (from, target) = (&frame.datagram.tuple, &frame.target);
    F::set_addresses(&mut frame.to, from.source, F::narrow(target.address));
    let ports = (target.client_port, target.port);
    frame.to.set_ports(ports.0, ports.1, from.protocol);
}

/// What a backend's packet becomes: one from what the client of `frame.owner` has dialled.
#[inline(always)]
fn aim_at_client<F: Family>(frame: &mut Frame<F::Address>) {
    let (from, owner) = (&frame.datagram.tuple, &frame.owner);
    F::set_addresses(&mut frame.to, owner.destination, from.destination);
    let ports = (owner.destination_port, owner.source_port);
    frame.to.set_ports(ports.0, ports.1, from.protocol);
}
