// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own DNS server: Services' names, from the same model as their addresses.
//!
//! In the order of a change: the model → [`zone`]; in the order of a query: [`server`] → [`answer`]
//! → [`zone`], or [`forward`] for names that are not the cluster's.

pub mod zone;
pub mod answer;
pub mod forward;
pub mod server;

use self::{
    answer::{Reply, Transport},
    zone::Zone,
};
use crate::{
    clock,
    model::{Name, World},
};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{PoisonError, RwLock},
};

/// What the server answers from, while the agent changes it.
#[derive(Debug)]
pub struct Names {
    zone: RwLock<Zone>,
}

impl Names {
    /// Answers from this zone.
    pub fn new(zone: Zone) -> Self {
        Self {
            zone: RwLock::new(zone),
        }
    }

    /// Takes in what has become of these Services.
    pub fn update(&self, world: &World, touched: &BTreeSet<Name>) {
        let mut zone = self.zone.write().unwrap_or_else(PoisonError::into_inner);
        zone.update(world, touched, clock::unix_s());
    }

    /// What becomes of a query.
    pub fn reply(&self, query: &[u8], transport: Transport, asks: bool) -> Reply {
        answer::reply(&self.zone(), query, transport, asks)
    }

    /// Whether this is a Service's address.
    pub fn has_service_at(&self, address: IpAddr) -> bool {
        self.zone().has_service_at(address)
    }

    fn zone(&self) -> std::sync::RwLockReadGuard<'_, Zone> {
        self.zone.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod testing;
