// SPDX-License-Identifier: MIT OR Apache-2.0
//! Masquerade: who comes in by an uplink, and is given a backend that only an uplink leads to, is
//! shown to it as this node, so that its answers come back this way.
//!
//! It is a translation of its own, beside the flow's. That one changes a packet's one end at the
//! hook where the client's packets enter and leave; this one changes its other end at the hook
//! where they leave for the backend and come back from it. A source is put in at egress only: an
//! IPv4 packet that enters the host's stack with one of the node's own addresses as its source is
//! dropped.
//!
//! | the packet | ingress makes of it | egress makes of it |
//! | --- | --- | --- |
//! | client → Service | client → backend, by the flow | node → backend, here |
//! | backend → node | backend → client, here | Service → client, by the flow |
//!
//! Both halves are made when the flow begins, and wait in the sweep's queue until no flow is left
//! that they serve, whatever has ended it. A flow of the same ends that begins before takes them
//! over. In the moment between the sweep's look and its removal, that is in vain: such a flow's
//! packets bear the client's address.

use crate::conntrack::{self, Age};
use crate::delivery::Routed;
use crate::ends::{self, End};
use crate::family::{Family, Own};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::port;
use crate::service;
use crate::tables::{InsertError, Tables, Torn};
use crate::verdict::Reason;
use crate::wire::{Mask, Onwards, Route, SocketEnds, Tuple, fingerprint};

/// In the queue, [`Tuple::pad`] of the key of a masquerade's entry, which is the client's half.
const QUEUED: [u8; 3] = [1, 0, 0];

/// Makes the masquerade that the new flow of `frame.to` needs, if it needs one: the packet has come
/// in by an uplink and would leave by one. Whether `frame.mask` is the client's half of it.
#[inline(always)]
pub fn begin<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Reason> {
    if !tables.is_uplink(frame.ifindex) {
        return Ok(false);
    }
    // What is asked bears no answer: see `delivery::ask`.
    let route = &mut frame.passage.answered;
    ask::<F>(route, &frame.to, frame.ifindex);
    if packet.route(route) == Routed::Nowhere {
        return Ok(false);
    }
    let uplink = tables.uplink(route.ifindex, &mut frame.uplink)?;
    if uplink.is_none() {
        return Ok(false);
    }
    let address = frame.uplink.address::<F>().ok_or(Reason::NoSource)?;
    if tables.mask(&frame.to, &mut frame.mask)?.is_some() {
        if frame.mask.address == address {
            return Ok(frame.mask.end == Mask::SOURCE);
        }
        remove(tables, frame);
    }
    make(packet, tables, frame, F::narrow(address))
}

/// The question which way a packet would go.
#[inline(always)]
fn ask<F: Own>(route: &mut Route, tuple: &Tuple<F::Address>, ifindex: u32) {
    *route = Route {
        family: F::NUMBER,
        protocol: tuple.protocol,
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        // Whether it fits is the stack's to say.
        length: 1,
        ifindex,
        class: [0; 4],
        source: F::widen(tuple.source),
        destination: F::widen(tuple.destination),
        vlan: [0; 4],
        from_station: [0; 6],
        to_station: [0; 6],
    };
}

/// Makes both halves, by a port of the node's that is free towards this backend: the backend's
/// first, so that whoever is shown as the node finds the way back. Whether they are made here.
#[inline(always)]
fn make<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    address: F::Address,
) -> Result<bool, Reason> {
    let (born_ns, turn) = (tables.now_ns(), tables.take_turn());
    let (source, destination) = (frame.to.source, frame.to.destination);
    F::set_addresses(&mut frame.answer, destination, address);
    for attempt in 0..port::SHOWN_ATTEMPTS {
        let port = port::shown(&tables.node(), turn, attempt);
        let (protocol, of_backend) = (frame.to.protocol, frame.to.destination_port);
        frame.answer.set_ports(of_backend, port, protocol);
        if service::has_port(tables, frame, address, port)? || is_used::<F, P>(packet, frame) {
            continue;
        }
        let client_port = frame.to.source_port;
        write::<F>(frame, Mask::DESTINATION, source, client_port, born_ns);
        match tables.insert_mask(&frame.answer, &frame.mask) {
            Ok(()) => {}
            Err(InsertError::Taken) => continue,
            Err(InsertError::Full) => return Err(Reason::FlowTableFull),
        }
        write::<F>(frame, Mask::SOURCE, address, port, born_ns);
        match tables.insert_mask(&frame.to, &frame.mask) {
            Ok(()) => return enqueue(tables, frame).map(|()| true),
            Err(error) => {
                tables.remove_mask(&frame.answer);
                return match error {
                    // Another processor was faster, with another packet of this flow.
                    InsertError::Taken => Ok(false),
                    InsertError::Full => Err(Reason::FlowTableFull),
                };
            }
        }
    }
    Err(Reason::NoSource)
}

/// Whether a socket of the host's would get `frame.answer`: one that listens there, or that has
/// dialled the same backend.
///
/// Out of line: the question takes some of the stack.
#[inline(never)]
fn is_used<F: Family, P: Packet + ?Sized>(packet: &P, frame: &Frame<F::Address>) -> bool {
    packet.has_socket(frame.answer.protocol, &SocketEnds::of(&frame.answer))
}

/// Fills in `frame.mask` for the packets of `frame.to`, or for their answers.
#[inline(always)]
fn write<F: Family>(
    frame: &mut Frame<F::Address>,
    end: u8,
    address: F::Address,
    port: [u8; 2],
    born_ns: u64,
) {
    let key = if end == Mask::SOURCE {
        &frame.to
    } else {
        &frame.answer
    };
    frame.mask = Mask {
        born_ns,
        identity: fingerprint(key),
        address: F::widen(address),
        port,
        end,
        pad: [0; 5],
        onwards: Onwards::default(),
        born_ns_end: born_ns,
    };
}

/// Gives what was made its entry in the sweep's queue, and the trace by which packets find it.
#[inline(always)]
fn enqueue<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<(), Reason> {
    frame.expiry.born_ns = frame.mask.born_ns.to_ne_bytes();
    frame.expiry.key = queued(&frame.to);
    if !tables.add_expiry(&frame.expiry) {
        remove(tables, frame);
        return Err(Reason::FlowTableFull);
    }
    tables.leave_trace(ends::spot::<F>(End::Behind, &frame.to.destination));
    Ok(())
}

/// Removes both halves: that of `frame.to`, which is `frame.mask`, last.
#[inline(never)]
fn remove<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    let node = F::narrow(frame.mask.address);
    F::set_addresses(&mut frame.answer, frame.to.destination, node);
    let (of_backend, protocol) = (frame.to.destination_port, frame.to.protocol);
    frame
        .answer
        .set_ports(of_backend, frame.mask.port, protocol);
    tables.remove_mask(&frame.answer);
    tables.remove_mask(&frame.to);
}

/// Looks whether the packet is a client's whom its backend is to see as this node, or else, by
/// `end`, that backend's; then `frame.to` is what it becomes.
#[inline(always)]
pub fn find<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
    end: u8,
) -> Result<bool, Torn> {
    let found = tables.mask(&frame.datagram.tuple, &mut frame.mask)?;
    if found.is_none() || frame.mask.end != end {
        return Ok(false);
    }
    frame.to = frame.datagram.tuple;
    if end == Mask::SOURCE {
        show::<F>(frame);
    } else {
        let (to, mask) = (&mut frame.to, &frame.mask);
        let (source, port, protocol) = (to.source, to.source_port, to.protocol);
        F::set_addresses(to, source, F::narrow(mask.address));
        to.set_ports(port, mask.port, protocol);
    }
    Ok(true)
}

/// Looks whether a client's packet that has become `frame.to` is to be shown as this node's; then
/// `frame.mask` says how.
#[inline(always)]
pub fn is_shown<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let found = tables.mask(&frame.to, &mut frame.mask)?;
    Ok(found.is_some() && frame.mask.end == Mask::SOURCE)
}

/// Puts in as the source of `frame.to` what `frame.mask` says.
#[inline(always)]
pub fn show<F: Family>(frame: &mut Frame<F::Address>) {
    let (to, mask) = (&mut frame.to, &frame.mask);
    let (destination, port, protocol) = (to.destination, to.destination_port, to.protocol);
    F::set_addresses(to, F::narrow(mask.address), destination);
    to.set_ports(mask.port, port, protocol);
}

/// The key of an entry in the sweep's queue for the masquerade of a client's packet.
pub fn queued<A: Copy>(tuple: &Tuple<A>) -> Tuple<A> {
    Tuple {
        pad: QUEUED,
        ..*tuple
    }
}

/// Whether an entry in the sweep's queue is a masquerade's.
#[inline(always)]
pub fn is_queued<A>(key: &Tuple<A>) -> bool {
    key.pad == QUEUED
}

/// Whether the masquerade of `frame.expiry` is still there, and a flow that it serves.
#[inline(never)]
pub fn is_alive<F: Family, T: Tables<F>>(tables: &T, frame: &mut Frame<F::Address>) -> bool {
    if !is_there(tables, frame) {
        return false;
    }
    frame.reverse_key = frame.to.turned();
    match conntrack::find_answered(tables, frame) {
        // Unreadable now, not for ever.
        Err(Torn) => true,
        Ok(None) => false,
        Ok(Some(_)) => {
            let timeouts = &tables.node().timeouts;
            conntrack::age(&frame.flow, tables.now_ns(), timeouts) != Age::Gone
        }
    }
}

/// Removes the masquerade of `frame.expiry`, unless another has its place by now.
#[inline(never)]
pub fn end<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    if is_there(tables, frame) {
        remove(tables, frame);
    }
}

/// Whether `frame.mask`, that of `frame.to`, is what `frame.expiry` stands for.
#[inline(always)]
fn is_there<F: Family, T: Tables<F>>(tables: &T, frame: &mut Frame<F::Address>) -> bool {
    frame.to = frame.expiry.key;
    frame.to.pad = [0; 3];
    let found = tables.mask(&frame.to, &mut frame.mask);
    match found {
        Err(Torn) => true,
        Ok(found) => found.is_some() && frame.expiry.born_ns == frame.mask.born_ns.to_ne_bytes(),
    }
}
