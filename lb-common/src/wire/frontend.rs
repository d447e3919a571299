// SPDX-License-Identifier: MIT OR Apache-2.0
//! `FRONTENDS`: one address, port and protocol that clients dial, and the Service behind it.

use super::seal::sealed;
use crate::family::{Family, V4, V6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What [`FrontendKey::scope`] may say.
pub mod scope {
    /// The entry is for everybody; where it says [`super::Service::SPLIT`], for those alone who do
    /// not come from outside.
    pub const ALL: u8 = 0;
    /// It is for who comes in by an uplink.
    pub const OUTSIDE: u8 = 1;
    /// It is for what comes out of a tunnel: another node has let it in, and leaves the choice
    /// among the backends of this one to it. A node port's has no address (all zeros), since the
    /// client has dialled that node's.
    pub const TUNNEL: u8 = 2;
}

/// What clients dial. 8 bytes for IPv4, 20 for IPv6.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
pub struct FrontendKey<A> {
    /// The address, network order.
    pub address: A,
    /// The port, network order.
    pub port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// Which clients the entry is for: one of [`scope`].
    pub scope: u8,
}

/// What stands behind a frontend: where its slots are. 56 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Service {
    /// Unique for each write of a Service on this node.
    pub version: u64,
    /// [`super::fingerprint`] of the [`FrontendKey`].
    pub identity: u64,
    /// The agent's number for this port of this Service, for counters and listings.
    pub service_id: u32,
    /// Bits: [`Service::ELSEWHERE`], [`Service::SPLIT`], [`Service::RANGES`], [`Service::IPIP`],
    /// [`Service::GENEVE`].
    pub flags: u32,
    /// First chunk of the Service's table in `SLOTS`.
    pub first_chunk: u32,
    /// Slots in the table: a power of two, at least [`super::CHUNK_SLOTS`]; 0 = no endpoint.
    pub slot_count: u32,
    /// Backends that share the slots.
    pub backend_count: u32,
    /// Session affinity time-out in seconds; 0 = no affinity.
    pub affinity_s: u32,
    /// Always zero.
    pub pad: u64,
    /// Equal to `version` in a whole value.
    pub version_end: u64,
}

impl Service {
    /// Flag of a Service without slots: it has endpoints, but none that this node may use. Such a
    /// packet is dropped; without the flag (no endpoint anywhere) the client is refused
    /// (kube-proxy, KEP-2086).
    pub const ELSEWHERE: u32 = 1;
    /// Flag of an entry for everybody: who comes in by an uplink has one of their own.
    pub const SPLIT: u32 = 2;
    /// Flag: only who is in a range of `ADMITTED` may dial it. That has no range where nobody may.
    pub const RANGES: u32 = 4;
    /// Flag: who comes in by an uplink and gets a backend behind one is sent to that one's node as
    /// IP in IP ([`crate::tunnel`]).
    pub const IPIP: u32 = 8;
    /// The same as Geneve.
    pub const GENEVE: u32 = 16;
}

sealed!(Service: version, version_end);

const _: () = assert!(size_of::<FrontendKey<<V4 as Family>::Address>>() == 8);
const _: () = assert!(size_of::<FrontendKey<<V6 as Family>::Address>>() == 20);
const _: () = assert!(size_of::<Service>() == 56);
