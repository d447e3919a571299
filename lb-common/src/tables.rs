// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the packet path reaches maps, settings and the clock.
//!
//! Implemented over kernel maps in `lb-ebpf`, and over plain maps in the tests.

mod environment;

pub use environment::{Environment, Word};

use crate::ends::End;
use crate::family::Family;
use crate::wire::{
    Affinity, Backend, Expiry, Flow, Foreign, Fragment, FragmentKey, FrontendKey, Mask, PathMtu,
    Range, Reverse, Service, Tunnelled, Tuple,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// A value was overwritten while it was read, twice in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn;

/// What a lookup finds: a whole value, nothing, or one that could not be read whole.
pub type Found<T> = Result<Option<T>, Torn>;

/// Why an entry was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The key is there already.
    Taken,
    /// The table is full, or the kernel refused.
    Full,
}

/// Which pair of flow tables: they differ in what happens when they are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the client has answered the backend: its SYN-ACK, or its first datagram. LRU: old
    /// entries give way.
    HalfOpen,
    /// From then on. Plain hashes: full means a counted refusal.
    Established,
}

/// Which end of a flow a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client: towards the Service.
    Client,
    /// The backend: towards the client.
    Backend,
}

/// What changes in a flow when a packet passes, of the side that has sent it; what stays as it is
/// in the flow is not written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Touch {
    /// The new `expires_ns`.
    pub expires_ns: u64,
    /// The new `progress` word of that side.
    pub progress: u64,
    /// The new `seen` word of that side.
    pub seen: u32,
    /// Nothing.
    pub pad: u32,
}

/// Every lookup and update of the packet path, for one family.
pub trait Tables<F: Family>: Environment {
    /// Where a flow was found, so that touching it needs no second lookup.
    type Place: Copy;

    /// The Service behind a frontend.
    fn service(&self, key: &FrontendKey<F::Address>) -> Found<Service>;
    /// Whether a client is in a range that a Service admits.
    fn admits(&self, service_id: u32, client: &F::Address) -> bool;
    /// Where Services' addresses come from.
    fn range(&self) -> Range;
    /// The backend id in a slot of the table that begins at a chunk.
    fn slot(&self, first_chunk: u32, slot: u32) -> Option<u32>;
    /// The backend with an id; free ids are `None`.
    fn backend(&self, id: u32) -> Found<Backend>;

    /// Copies the flow of a client's packet; what is copied when none is found says nothing.
    fn flow(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Flow) -> Found<Self::Place>;
    /// Makes a flow where none is.
    fn insert_flow(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        flow: &Flow,
    ) -> Result<(), InsertError>;
    /// Writes the changing words of a flow in place.
    fn touch(&mut self, stage: Stage, place: Self::Place, flow: &Flow, side: Side, touch: &Touch);
    /// Removes a flow; removing what is not there is fine.
    fn remove_flow(&mut self, stage: Stage, key: &Tuple<F::Address>);

    /// Copies the reverse entry of a backend's packet; likewise.
    fn reverse(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Reverse) -> Found<()>;
    /// Makes a reverse entry where none is.
    fn insert_reverse(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        reverse: &Reverse,
    ) -> Result<(), InsertError>;
    /// Removes a reverse entry; removing what is not there is fine.
    fn remove_reverse(&mut self, stage: Stage, key: &Tuple<F::Address>);

    /// Whether an address like that has left a trace on a spot; tables without traces cannot tell.
    fn has_trace(&self, _end: End, _spot: u32) -> bool {
        true
    }
    /// Leaves the trace of a flow's end there.
    fn leave_trace(&mut self, _spot: u32) {}

    /// Copies a client's affinity; likewise.
    fn affinity(&self, key: &Tuple<F::Address>, into: &mut Affinity) -> Found<()>;
    /// Makes an affinity where none is.
    fn insert_affinity(
        &mut self,
        key: &Tuple<F::Address>,
        affinity: &Affinity,
    ) -> Result<(), InsertError>;
    /// Puts an affinity in the place of one that is there; `false` = none is.
    #[must_use]
    fn replace_affinity(&mut self, key: &Tuple<F::Address>, affinity: &Affinity) -> bool;
    /// Removes an affinity; removing what is not there is fine.
    fn remove_affinity(&mut self, key: &Tuple<F::Address>);

    /// Copies a flow of conntrack's; likewise.
    fn foreign(&self, key: &Tuple<F::Address>, into: &mut Foreign) -> Found<()>;
    /// Writes a flow of conntrack's down, in the place of what is there; `false` = no room.
    #[must_use]
    fn put_foreign(&mut self, key: &Tuple<F::Address>, foreign: &Foreign) -> bool;
    /// Removes a flow of conntrack's; removing what is not there is fine.
    fn remove_foreign(&mut self, key: &Tuple<F::Address>);

    /// Copies half of a masquerade; likewise.
    fn mask(&self, key: &Tuple<F::Address>, into: &mut Mask) -> Found<()>;
    /// Makes half of a masquerade where none is.
    fn insert_mask(&mut self, key: &Tuple<F::Address>, mask: &Mask) -> Result<(), InsertError>;
    /// Writes down the way of a masquerade's packets, as `mask` says it, if it is still that one.
    fn remember_onwards(&mut self, _key: &Tuple<F::Address>, _mask: &Mask) {}
    /// Removes half of a masquerade; removing what is not there is fine.
    fn remove_mask(&mut self, key: &Tuple<F::Address>);

    /// Copies what is known of a flow that another node serves; likewise.
    fn tunnelled(&self, _key: &Tuple<F::Address>, _into: &mut Tunnelled) -> Found<()> {
        Ok(None)
    }
    /// Writes such a flow down, in the place of what is there. Where there is no room, others or
    /// this are forgotten: its packets choose anew, and alike as long as the backends are the same.
    fn put_tunnelled(&mut self, _key: &Tuple<F::Address>, _tunnelled: &Tunnelled) {}
    /// Removes such a flow; removing what is not there is fine.
    fn remove_tunnelled(&mut self, _key: &Tuple<F::Address>) {}
    /// Copies what is known of the way to a backend's node; likewise.
    fn path(&self, _backend: &F::Address, _into: &mut PathMtu) -> Found<()> {
        Ok(None)
    }
    /// Writes that down, in the place of what is there. Where there is no room, others or this are
    /// forgotten: routers say it again.
    fn put_path(&mut self, _backend: &F::Address, _path: &PathMtu) {}
    /// Whether an address is one of a node of the cluster's.
    fn is_node(&self, _address: &F::Address) -> bool {
        false
    }

    /// Copies what a first fragment has taught; likewise.
    fn fragment(&self, key: &FragmentKey<F::Address>, into: &mut Fragment) -> Found<()>;
    /// Notes what a first fragment teaches, whatever was there. Where there is no room, others or
    /// this are forgotten.
    fn learn_fragment(&mut self, key: &FragmentKey<F::Address>, fragment: &Fragment);
    /// Forgets it; forgetting what is not there is fine.
    fn forget_fragment(&mut self, key: &FragmentKey<F::Address>);

    /// Puts an entry at the end of the queue of what ends by time; `false` = it is full.
    #[must_use]
    fn add_expiry(&mut self, entry: &Expiry<F::Address>) -> bool;
    /// Takes the entry at the front of that queue; `false` = it is empty.
    #[must_use]
    fn take_expiry(&mut self, into: &mut Expiry<F::Address>) -> bool;
}
