// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which Service a client dials.

use crate::family::Family;
use crate::frame::Frame;
use crate::tables::{Tables, Torn};
use crate::wire::{FrontendKey, scope};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// What choosing a backend needs of a Service.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Destination {
    /// The Service's number.
    pub service_id: u32,
    /// First chunk of its table.
    pub first_chunk: u32,
    /// Slots of its table: a power of two, or 0 where it has no backend.
    pub slot_count: u32,
    /// Bits of [`crate::wire::Service::flags`].
    pub flags: u32,
    /// Its session affinity time-out in seconds; 0 = none.
    pub affinity_s: u32,
}

/// Whether any Service has the address that a client dials: each has an entry of its own, with
/// neither port nor protocol.
#[inline(always)]
pub fn has_address<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    is_address(tables, frame, frame.datagram.tuple.destination)
}

/// The same for any address.
#[inline(always)]
pub fn is_address<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
    address: F::Address,
) -> Result<bool, Torn> {
    frame.frontend = FrontendKey {
        address,
        port: [0; 2],
        protocol: 0,
        scope: scope::ALL,
    };
    Ok(tables.service(&frame.frontend)?.is_some())
}

/// Whether a Service has a port of an address, by the protocol of the packet.
#[inline(always)]
pub fn has_port<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
    address: F::Address,
    port: [u8; 2],
) -> Result<bool, Torn> {
    frame.frontend = FrontendKey {
        address,
        port,
        protocol: frame.datagram.tuple.protocol,
        scope: scope::ALL,
    };
    Ok(tables.service(&frame.frontend)?.is_some())
}

/// Looks for the Service that a client's packet is for, whoever sends it; then it is
/// `frame.destination`.
#[inline(always)]
pub fn find<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let tuple = &frame.datagram.tuple;
    frame.frontend = FrontendKey {
        address: tuple.destination,
        port: tuple.destination_port,
        protocol: tuple.protocol,
        scope: scope::ALL,
    };
    look(tables, frame)
}

/// Looks for the Service of `frame.frontend`; then it is `frame.destination`, which otherwise stays
/// what it was.
#[inline(always)]
pub(crate) fn look<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let Some(service) = tables.service(&frame.frontend)? else {
        return Ok(false);
    };
    frame.destination = Destination {
        service_id: service.service_id,
        first_chunk: service.first_chunk,
        slot_count: service.slot_count,
        flags: service.flags,
        affinity_s: service.affinity_s,
    };
    Ok(true)
}
