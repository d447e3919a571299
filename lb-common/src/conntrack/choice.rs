// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is chosen for a flow: who gets it, and where its packets go.

use crate::family::WideAddress;
use crate::wire::Flow;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Where a flow's packets go.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Target {
    /// Address of the backend.
    pub address: WideAddress,
    /// Port of the backend, network order.
    pub port: [u8; 2],
    /// Source port that the backend sees, network order.
    pub client_port: [u8; 2],
}

impl Target {
    /// Where the packets of this flow go.
    #[inline(always)]
    pub fn of(flow: &Flow) -> Self {
        Self {
            address: flow.address,
            port: flow.port,
            client_port: flow.client_port,
        }
    }
}

/// Who gets a new flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub struct Choice {
    /// The backend's epoch.
    pub epoch: u64,
    /// Id of the backend.
    pub backend: u32,
    /// The Service's number.
    pub service_id: u32,
}

impl Choice {
    /// Who has got this flow.
    #[inline(always)]
    pub fn of(flow: &Flow) -> Self {
        Self {
            epoch: flow.epoch,
            backend: flow.backend,
            service_id: flow.service_id,
        }
    }
}
