// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole path of a packet: every branch is here, the stages only compute.

use crate::conntrack::{self, Age, Choice, Known, Target};
use crate::family::{Family, V4, V6};
use crate::frame::{Frame, Frames};
use crate::packet::Packet;
use crate::parse::{ethertype, parse};
use crate::service::{self, Destination};
use crate::tables::{Side, Stage, Tables};
use crate::verdict::Reason;
use crate::wire::{BackendState, Node, Takeover};
use crate::{affinity, foreign, fragment, port, related, rewrite, select};

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
fn towards_backend<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    match forward::<F, P, T>(packet, tables, frame) {
        Reason::OtherProtocol => forward_error::<F, P, T>(packet, tables, frame),
        Reason::Fragment => forward_fragment::<F, P, T>(packet, tables, frame),
        end if frame.datagram.is_first != 0 => first_fragment(tables, frame, Side::Client, end),
        end => end,
    }
}

/// Whatever comes from the backend's side; likewise.
#[inline(always)]
fn towards_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    match reply::<F, P, T>(packet, tables, frame) {
        Reason::OtherProtocol => reply_error::<F, P, T>(packet, tables, frame),
        Reason::Fragment => reply_fragment::<F, P, T>(packet, tables, frame),
        end if frame.datagram.is_first != 0 => first_fragment(tables, frame, Side::Backend, end),
        end => end,
    }
}

/// Functions of their own, one for each duty and family: each has a program's stack to itself, and
/// the compiler learns from the argument's type how the frame is aligned. They return the end
/// alone: a `Result` of it would be returned by way of a pointer, which the verifier refuses.
macro_rules! out_of_line {
    ($($name:ident = $steps:ident;)+) => {
        $(
            #[inline(never)]
            fn $name<F: Family, P: Packet + ?Sized, T: Tables<F>>(
                packet: &mut P,
                tables: &mut T,
                frame: &mut Frame<F::Address>,
            ) -> Reason {
                $steps::<F, P, T>(packet, tables, frame).unwrap_or_else(|reason| reason)
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
}

/// A client's datagram, to the backend.
#[inline(always)]
fn datagram_to_backend<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    parse::<F, P>(packet, &mut frame.datagram)?;
    let destination = service::find(tables, frame)?;
    // A flow outlives its Service, so it is looked for even where no Service is.
    let known = conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?;
    let now_ns = tables.now_ns();
    let node = tables.node();

    let end = match (known, destination) {
        (None, None) => return Err(Reason::NotService),
        (None, Some(destination)) => begin(tables, frame, &destination, &node, now_ns)?,
        (Some(known), destination) => {
            if holds(tables, frame, known.stage, &node, now_ns)? {
                resume(tables, frame, &known, &node, now_ns)?;
                Reason::Forwarded
            } else {
                // An entry that nobody has removed yet is as good as none.
                let over = conntrack::age(&frame.flow, now_ns, &node.timeouts) == Age::Gone;
                conntrack::forget(tables, frame, known.stage)?;
                let alone = if over {
                    Reason::NotService
                } else {
                    Reason::BackendGone
                };
                begin(tables, frame, &destination.ok_or(alone)?, &node, now_ns)?
            }
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
    let now_ns = tables.now_ns();
    let node = tables.node();
    let (flow, datagram) = (&frame.flow, &frame.datagram);
    if conntrack::age(flow, now_ns, &node.timeouts) == Age::Gone {
        return Err(Reason::NotReply);
    }
    if let Some(touch) = conntrack::step(flow, Side::Backend, datagram, now_ns, &node.timeouts) {
        tables.touch(known.stage, known.place, flow, touch);
    }

    aim_at_client::<F>(frame);
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(Reason::Replied)
}

/// An ICMP error about what a client was sent, to the backend. The flow is left as it is: whoever
/// forges an error changes nothing.
#[inline(always)]
fn error_to_backend<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    related::read::<F, P>(packet, frame)?;
    conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?.ok_or(Reason::NotRelated)?;
    if conntrack::age(&frame.flow, tables.now_ns(), &tables.node().timeouts) == Age::Gone {
        return Err(Reason::NotRelated);
    }
    frame.target = Target::of(&frame.flow);
    aim_at_backend::<F>(frame);
    related::apply::<F, P>(packet, frame)?;
    Ok(Reason::RelatedForwarded)
}

/// An ICMP error about what a client has sent, to the client; likewise.
#[inline(always)]
fn error_to_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    related::read::<F, P>(packet, frame)?;
    conntrack::find_reply(tables, frame)?.ok_or(Reason::NotRelated)?;
    if conntrack::age(&frame.flow, tables.now_ns(), &tables.node().timeouts) == Age::Gone {
        return Err(Reason::NotRelated);
    }
    aim_at_client::<F>(frame);
    related::apply::<F, P>(packet, frame)?;
    Ok(Reason::RelatedReplied)
}

/// A later fragment from the client's side, to where the first one went.
#[inline(always)]
fn fragment_to_backend<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !fragment::find(tables, frame, Side::Client)? {
        // One to a Service would be routed to an address that nobody has.
        return Ok(if service::has_address(tables, frame)? {
            Reason::FragmentEarly
        } else {
            Reason::Fragment
        });
    }
    fragment::apply::<F, P>(packet, frame)?;
    Ok(Reason::FragmentForwarded)
}

/// A later fragment from the backend's side, from whom the first one came. Of one that nothing is
/// known of nobody can say whether it is a reply at all, so it passes.
#[inline(always)]
fn fragment_to_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !fragment::find(tables, frame, Side::Backend)? {
        return Ok(Reason::Fragment);
    }
    fragment::apply::<F, P>(packet, frame)?;
    Ok(Reason::FragmentReplied)
}

/// What the end of a first fragment means for the later ones, and how it ends.
#[inline(never)]
fn first_fragment<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    side: Side,
    end: Reason,
) -> Reason {
    match end {
        Reason::Forwarded | Reason::Unpinned | Reason::Replied => {
            fragment::learn(tables, frame, side);
            return end;
        }
        // The host's stack gets all of it, as it is.
        Reason::Foreign | Reason::ForeignUnknown => {
            frame.to = frame.datagram.tuple;
            fragment::learn(tables, frame, side);
            return end;
        }
        _ => fragment::forget(tables, frame, side),
    }
    if end != Reason::FragmentShort {
        return end;
    }
    // Where no Service is concerned, it is the receiver who judges it.
    match service::has_address(tables, frame) {
        Ok(true) if side == Side::Client => end,
        Ok(_) => Reason::Fragment,
        Err(torn) => torn.into(),
    }
}

/// What a client's packet becomes: one to `frame.target`.
#[inline(always)]
fn aim_at_backend<F: Family>(frame: &mut Frame<F::Address>) {
    frame.to = frame.datagram.tuple;
    frame.to.destination = F::narrow(frame.target.address);
    frame.to.destination_port = frame.target.port;
    frame.to.source_port = frame.target.client_port;
}

/// What a backend's packet becomes: one from what the client of `frame.owner` has dialled.
#[inline(always)]
fn aim_at_client<F: Family>(frame: &mut Frame<F::Address>) {
    frame.to = frame.datagram.tuple;
    frame.to.source = frame.owner.destination;
    frame.to.source_port = frame.owner.destination_port;
    frame.to.destination_port = frame.owner.source_port;
}

/// Whether a client's packet goes on in the flow that its tuple names; otherwise the choice is
/// made anew.
#[inline(always)]
fn holds<F: Family, T: Tables<F>>(
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
        Age::Live => {}
    }
    let backend = tables
        .backend(flow.backend)?
        .filter(|backend| backend.epoch == flow.epoch);
    let found = backend.map(|backend| BackendState::from_byte(backend.state));
    if !matches!(found, Some(BackendState::Active | BackendState::Draining)) {
        // An established connection stays where it is, though its backend is not ready or gone:
        // only the two ends can end it. A datagram goes to a backend that serves, and so does a
        // client that begins anew.
        return Ok(is_tcp && stage == Stage::Established && !opens);
    }
    // The LRU tables may have dropped the reverse entry alone; a repeated SYN mends that.
    Ok(stage == Stage::Established || !opens || conntrack::is_answerable(tables, frame)?)
}

/// Writes down that a flow's packet was seen; the one that completes the handshake moves the flow.
#[inline(always)]
fn resume<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    known: &Known<T::Place>,
    node: &Node,
    now_ns: u64,
) -> Result<(), Reason> {
    let (flow, datagram) = (&frame.flow, &frame.datagram);
    frame.target = Target::of(flow);
    match conntrack::step(flow, Side::Client, datagram, now_ns, &node.timeouts) {
        Some(touch) if conntrack::completes(known.stage, &touch) => {
            conntrack::promote(tables, frame, &touch)
        }
        Some(touch) => {
            tables.touch(known.stage, known.place, flow, touch);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Other backends that are tried before another source port is.
const BACKEND_ATTEMPTS: u16 = 4;
/// Choices that are tried in all.
const ATTEMPTS: u16 = 12;

/// Begins a new flow: chooses a backend, and a source port where the client's own is taken.
#[inline(never)]
fn begin<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    destination: &Destination,
    node: &Node,
    now_ns: u64,
) -> Result<Reason, Reason> {
    if node.takeover != Takeover::Done.number() {
        foreign::stand_aside(tables, frame, node, now_ns)?;
    }
    if destination.slot_count == 0 {
        return Err(Reason::NoBackend);
    }
    if frame.datagram.is_tcp() && !frame.datagram.opens() {
        return Err(Reason::NoFlow);
    }
    select::mark::<F>(node.seed, frame);
    let is_pinned = affinity::find(tables, frame, destination)?;
    let backends = if is_pinned { 1 } else { BACKEND_ATTEMPTS };
    for attempt in 0..ATTEMPTS {
        let (choice, client_port) = if attempt < backends {
            (u32::from(attempt), frame.datagram.tuple.source_port)
        } else {
            (
                0,
                port::propose(node, &frame.mark, attempt).ok_or(Reason::NoPort)?,
            )
        };
        let id = if is_pinned {
            frame.affinity.backend
        } else {
            select::choose(tables, destination, &frame.mark, choice).ok_or(Reason::NoBackend)?
        };
        let backend = tables.backend(id)?.ok_or(Reason::NoBackend)?;
        frame.target = Target {
            address: backend.address,
            port: backend.port,
            client_port,
        };
        if conntrack::is_free(tables, frame)? {
            frame.choice = Choice {
                epoch: backend.epoch,
                backend: backend.id,
                service_id: destination.service_id,
            };
            conntrack::open(tables, frame)?;
            return Ok(affinity::pin(tables, frame, destination));
        }
    }
    Err(Reason::NoPort)
}
