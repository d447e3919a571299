// SPDX-License-Identifier: MIT OR Apache-2.0
//! Session affinity (`sessionAffinity: ClientIP`): a client's new flows to a port of a Service go
//! to one backend, until it has begun none for the Service's time-out.
//!
//! When the time is over the backend is chosen anew, by a hash in which the client's port takes
//! part: so it can be another one, as Kubernetes' conformance tests ask.

use crate::family::Family;
use crate::frame::Frame;
use crate::tables::{InsertError, Tables, Torn};
use crate::verdict::Reason;
use crate::wire::{Backend, BackendState, Tuple, fingerprint};

/// The protocol of an entry's key, which is a [`Tuple`] so that the sweep's queue serves flows and
/// affinity: IPv6's hop-by-hop options (RFC 8200), never the protocol of a flow.
pub const PROTOCOL: u8 = 0;

/// Writes the key of a client's affinity: its address, and the number of the Service's port where
/// a flow has ports.
#[inline(always)]
pub fn write_key<F: Family>(key: &mut Tuple<F::Address>, client: F::Address, service_id: u32) {
    let [a, b, c, d] = service_id.to_be_bytes();
    key.source = client;
    key.destination = F::narrow([0; 16]);
    key.source_port = [a, b];
    key.destination_port = [c, d];
    key.protocol = PROTOCOL;
    key.pad = [0; 3];
}

/// Looks for the client's affinity to `frame.destination` in `frame.affinity`; whether it holds: it
/// is not too old, and its backend still takes new flows of this Service.
///
/// Out of line, like the other rare steps.
#[inline(never)]
pub fn find<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    frame.affinity.born_ns = 0;
    if frame.destination.affinity_s == 0 {
        return Ok(false);
    }
    let (client, service_id) = (frame.datagram.tuple.source, frame.destination.service_id);
    write_key::<F>(&mut frame.affinity_key, client, service_id);
    if tables
        .affinity(&frame.affinity_key, &mut frame.affinity)?
        .is_none()
    {
        frame.affinity.born_ns = 0;
        return Ok(false);
    }
    let end_ns = end_ns(frame.affinity.used_ns, frame.destination.affinity_s);
    if tables.now_ns() >= end_ns {
        return Ok(false);
    }
    let backend = tables.backend(frame.affinity.backend)?;
    // A backend that has left the Service has another state or epoch.
    let is_ours = |backend: &Backend| {
        backend.epoch == frame.affinity.epoch && backend.state == BackendState::Active.byte()
    };
    Ok(backend.as_ref().is_some_and(is_ours))
}

/// Pins the client to `frame.choice`, or keeps it there, where the Service asks for
/// it; how the packet ends.
///
/// After [`find`], which says in `frame.affinity` what there was.
#[inline(always)]
pub fn pin<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) -> Reason {
    if frame.destination.affinity_s == 0 || keep(tables, frame) {
        Reason::Forwarded
    } else {
        Reason::Unpinned
    }
}

/// `false` = there is no room.
#[inline(never)]
fn keep<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) -> bool {
    let now_ns = tables.now_ns();
    let (affinity, choice) = (&mut frame.affinity, &frame.choice);
    let is_known = affinity.born_ns != 0;
    affinity.used_ns = now_ns;
    affinity.identity = fingerprint(&frame.affinity_key);
    affinity.epoch = choice.epoch;
    affinity.backend = choice.backend;
    affinity.timeout_s = frame.destination.affinity_s;
    affinity.used_ns_end = now_ns;
    if is_known && tables.replace_affinity(&frame.affinity_key, affinity) {
        return true;
    }
    affinity.born_ns = now_ns;
    match tables.insert_affinity(&frame.affinity_key, affinity) {
        Ok(()) => {}
        // Another processor was faster.
        Err(InsertError::Taken) => return true,
        Err(InsertError::Full) => return false,
    }
    frame.expiry.born_ns = now_ns.to_ne_bytes();
    frame.expiry.key = frame.affinity_key;
    let is_queued = tables.add_expiry(&frame.expiry);
    if !is_queued {
        tables.remove_affinity(&frame.affinity_key);
    }
    is_queued
}

/// Whether the affinity of `frame.expiry` is still there and not over.
#[inline(never)]
pub fn is_alive<F: Family, T: Tables<F>>(tables: &T, frame: &mut Frame<F::Address>) -> bool {
    match tables.affinity(&frame.expiry.key, &mut frame.affinity) {
        // Unreadable now, not for ever.
        Err(Torn) => true,
        Ok(None) => false,
        Ok(Some(())) => {
            let affinity = &frame.affinity;
            frame.expiry.born_ns == affinity.born_ns.to_ne_bytes()
                && tables.now_ns() < end_ns(affinity.used_ns, affinity.timeout_s)
        }
    }
}

/// Removes the affinity of `frame.expiry`, unless another has its place by now.
#[inline(never)]
pub fn end<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    let found = tables.affinity(&frame.expiry.key, &mut frame.affinity);
    if matches!(found, Ok(Some(()))) && frame.expiry.born_ns == frame.affinity.born_ns.to_ne_bytes()
    {
        tables.remove_affinity(&frame.expiry.key);
    }
}

const SECOND: u64 = 1_000_000_000;

#[inline(always)]
fn end_ns(used_ns: u64, timeout_s: u32) -> u64 {
    used_ns.saturating_add(u64::from(timeout_s).saturating_mul(SECOND))
}
