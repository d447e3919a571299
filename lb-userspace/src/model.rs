// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of the cluster, in our own types: kube types stop before this module.

mod object;
mod shared;
mod nodes;
mod world;

pub use nodes::Nodes;
pub use object::{
    Address, Affinity, Change, Endpoint, EndpointSlice, Forwarding, Kind, Name, NodeObject, Parts,
    Place, Policy, Protocol, ServiceKind, ServiceObject, ServicePort, SlicePort,
};
pub use world::{NodeFacts, Touched, World};
