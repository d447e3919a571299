// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the packet path has asked its tables, and what it was told, in order.

use super::Question;
use crate::maps::Frontend;
use lb_common::{
    tables::{Found, InsertError, Stage},
    wire::{Affinity, Backend, Flow, Foreign, Node, Range, Service},
};
use std::net::SocketAddr;

/// One packet's passage.
pub(super) struct Record<'a> {
    /// The packet.
    pub(super) question: &'a Question,
    /// The settings.
    pub(super) node: Node,
    /// When it came.
    pub(super) now_ns: u64,
    /// What has happened.
    pub(super) events: Vec<Event>,
    /// Whether it was taken for granted that the destination is no address of this host.
    pub(super) is_of_others: bool,
}

/// Who sends to whom.
pub(super) type Ends = [SocketAddr; 2];

/// A flow as it was found, with its backend's address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) flow: Flow,
    pub(super) backend: SocketAddr,
}

/// A question to the tables, with its answer, or a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// What stands behind a frontend.
    Service(Frontend, Found<Service>),
    /// Whether the client is in a range that the Service admits.
    Admits(bool),
    /// The flow of a client's packet.
    Flow(Stage, Ends, Found<Seen>),
    /// Whether replies of these ends would find a flow.
    Reverse(Ends, Found<()>),
    /// The client's affinity.
    Affinity(Found<Affinity>),
    /// The flow of conntrack's.
    Foreign(Found<Foreign>),
    /// The backend id in a slot.
    Slot(u32, Option<u32>),
    /// The backend with an id.
    Backend(u32, Found<Backend>),
    /// Where Services' addresses come from.
    Range(Range),
    /// An answer is paid for.
    Settled(bool),
    /// A flow is made.
    MakeFlow(Stage, Result<(), InsertError>),
    /// A flow is forgotten.
    RemoveFlow,
    /// A reverse entry is made.
    MakeReverse(Result<(), InsertError>),
    /// A reverse entry is forgotten.
    RemoveReverse,
    /// An affinity is made.
    MakeAffinity(Result<(), InsertError>),
    /// An affinity is renewed.
    KeepAffinity(bool),
}
