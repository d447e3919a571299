// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses' own entries: by them a packet is known to be for a Service, though for none of its
//! ports.
//!
//! Nobody plans them, since they follow from the ports: an address has its entry while it has
//! ports that clients dial, whichever Services these are of. An address of the node's own has none:
//! what else is there is the node's business. It is written after the ports of whoever brings it,
//! and goes before the last one: who dials a port that is served is never refused.

use std::net::IpAddr;

use lb_common::wire::Service;

use super::actual::Actual;
use crate::{
    maps::{Frontend, Store, StoreError},
    plan::Tables,
};

impl Actual {
    /// Gives the addresses of tables whose frontends are written their entries.
    pub(super) fn enter_addresses(
        &mut self,
        store: &mut impl Store,
        tables: &Tables,
    ) -> Result<(), StoreError> {
        let frontends = tables.iter().flat_map(|(_, table)| {
            table
                .frontends
                .iter()
                .map(move |frontend| (table, frontend))
        });
        for (table, frontend) in frontends {
            let address = frontend.address;
            if table.is_of_node(*frontend) {
                // It may have become the node's while it had its entry.
                self.leave_address(store, address)?;
                continue;
            }
            // What is for tunnels only may have no address at all, and counts for none.
            if self.addresses.contains(&address) || !self.has_ports(address, None) {
                continue;
            }
            let version = self.numbers.next(store)?;
            let value = Service {
                version,
                version_end: version,
                ..Service::default()
            };
            store.put_frontend(Frontend::of_address(address), &value)?;
            self.addresses.insert(address);
            self.count_up(address);
        }
        Ok(())
    }

    /// Takes a frontend away, and before an address's last one the address's own entry.
    pub(super) fn take_away(
        &mut self,
        store: &mut impl Store,
        frontend: Frontend,
    ) -> Result<(), StoreError> {
        if !self.has_ports(frontend.address, Some(frontend)) {
            self.leave_address(store, frontend.address)?;
        }
        store.remove_frontend(frontend)?;
        self.unset_frontend(frontend);
        Ok(())
    }

    /// Takes away what the previous agent left of addresses that have no ports.
    pub(super) fn prune_addresses(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        let addresses = self.addresses.iter().copied();
        let bare: Vec<_> = addresses
            .filter(|address| !self.has_ports(*address, None))
            .collect();
        for address in bare {
            self.leave_address(store, address)?;
        }
        Ok(())
    }

    fn leave_address(&mut self, store: &mut impl Store, address: IpAddr) -> Result<(), StoreError> {
        if self.addresses.contains(&address) {
            store.remove_frontend(Frontend::of_address(address))?;
            self.addresses.remove(&address);
            self.count_down(address);
        }
        Ok(())
    }

    /// Whether an address has frontends that clients dial, besides one.
    fn has_ports(&self, address: IpAddr, besides: Option<Frontend>) -> bool {
        let from_there = self.frontends.range(Frontend::of_address(address)..);
        let mut at = from_there.take_while(|(at, _)| at.address == address);
        at.any(|(at, _)| Some(*at) != besides && at.is_dialled())
    }
}
