// SPDX-License-Identifier: MIT OR Apache-2.0
//! A new flow: the way from a Service to one of its backends.

use crate::conntrack::{self, Choice, Past, Target};
use crate::family::{Family, Own};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::service;
use crate::tables::Tables;
use crate::verdict::Reason;
use crate::wire::{Node, Service, Takeover};
use crate::{admit, affinity, foreign, hairpin, port, select};

/// Other backends that are tried before another source port is.
const BACKEND_ATTEMPTS: u16 = 4;
/// Choices that are tried in all.
const ATTEMPTS: u16 = 12;

/// Looks for the Service that a packet of no flow is for, as `frame.destination`; its client is let
/// in.
#[inline(always)]
pub(super) fn dialled<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Reason> {
    if !service::find(tables, frame)? {
        return Ok(false);
    }
    if admit::is_asked(&frame.destination) {
        admit::admit(tables, frame)?;
    }
    if admit::is_spoofed(packet, tables, frame, true)? {
        return Err(Reason::Spoofed);
    }
    Ok(true)
}

/// Begins a new flow to `frame.destination`: chooses a backend, and a source port where the
/// client's own is taken.
#[inline(never)]
pub(super) fn begin<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    node: &Node,
) -> Result<Reason, Reason> {
    if node.takeover != Takeover::Done.number() {
        foreign::stand_aside(tables, frame, node)?;
    }
    if frame.destination.slot_count == 0 {
        let is_elsewhere = frame.destination.flags & Service::ELSEWHERE != 0;
        return Err(if is_elsewhere {
            Reason::Elsewhere
        } else {
            Reason::Refused
        });
    }
    if frame.datagram.is_tcp() && !frame.datagram.opens() {
        return Err(Reason::Reset);
    }
    select::mark::<F>(node.seed, frame);
    let is_pinned = affinity::find(tables, frame)?;
    let backends = if frame.past == Past::Strange.byte() {
        0
    } else if is_pinned {
        1
    } else {
        BACKEND_ATTEMPTS
    };
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
            select::choose(tables, &frame.destination, &frame.mark, choice)
                .ok_or(Reason::NoBackend)?
        };
        let backend = tables.backend(id)?.ok_or(Reason::NoBackend)?;
        frame.target = Target {
            address: backend.address,
            port: backend.port,
            client_port,
        };
        let is_itself = backend.address == F::widen(frame.datagram.tuple.source);
        if (!is_itself || hairpin::is_free(tables, frame)?)
            && conntrack::is_free(tables, frame, &node.timeouts)?
        {
            frame.choice = Choice {
                epoch: backend.epoch,
                backend: backend.id,
                service_id: frame.destination.service_id,
            };
            conntrack::open(tables, frame, &node.timeouts)?;
            frame.is_begun = 1;
            return Ok(affinity::pin(tables, frame));
        }
    }
    Err(Reason::NoPort)
}
