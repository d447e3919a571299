// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frontends of one family.

use super::{OpenError, READING, REMOVING, absent_is_fine, open, refused, write_error};
use crate::maps::{Frontend, StoreError, pod::Wire};
use aya::maps::{Array, HashMap, MapData, MapError};
use lb_common::{
    ends::{End, spot},
    family::Family,
    wire::{FrontendKey, PAGE_SPOTS, PAGES, Page, Service, fingerprint},
};
use std::{net::IpAddr, path::Path};

/// `FRONTENDS_*`, and the traces of their addresses.
pub(super) struct Frontends<F: Family> {
    map: HashMap<MapData, Wire<FrontendKey<F::Address>>, Wire<Service>>,
    traces: Array<MapData, Wire<Page>>,
    capacity: u32,
}

impl<F: Family<Address: Into<IpAddr>>> Frontends<F> {
    pub(super) fn open(
        maps: &Path,
        name: &'static str,
        traces: &'static str,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            map: open(maps, name)?,
            traces: open(maps, traces)?,
            capacity: super::entries(maps, name)?,
        })
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn list(&self) -> Result<Vec<(Frontend, Service)>, StoreError> {
        let mut all = Vec::new();
        for entry in &self.map {
            let (Wire(key), Wire(service)) = entry.map_err(refused("frontends", READING))?;
            let frontend = Frontend {
                address: key.address.into(),
                port: u16::from_be_bytes(key.port),
                protocol: key.protocol,
                scope: key.scope,
            };
            all.push((frontend, service));
        }
        Ok(all)
    }

    pub(super) fn has(&self, address: F::Address, frontend: Frontend) -> Result<bool, StoreError> {
        match self.map.get(&Wire(key(address, frontend)), 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) => Err(refused("frontends", READING)(error)),
        }
    }

    pub(super) fn put(
        &mut self,
        address: F::Address,
        frontend: Frontend,
        service: &Service,
    ) -> Result<(), StoreError> {
        self.leave_trace(End::Service, address)?;
        if service.flags & (Service::IPIP | Service::GENEVE) != 0 {
            self.leave_trace(End::Tunnelled, address)?;
        }
        let key = key(address, frontend);
        let identity = fingerprint(&key);
        let service = Wire(Service {
            identity,
            ..*service
        });
        let written = self.map.insert(&Wire(key), &service, 0);
        written.map_err(write_error("frontends", self.capacity))
    }

    /// First of all: packets look for no frontend of an address without one.
    fn leave_trace(&mut self, end: End, address: F::Address) -> Result<(), StoreError> {
        let spot = spot::<F>(end, &address);
        let (page, at) = (spot / PAGE_SPOTS, spot % PAGE_SPOTS);
        let read = self.traces.get(&page, 0);
        let Wire(Page { mut spots }) = read.map_err(refused("addresses", READING))?;
        let mut places = (0..).zip(&mut spots);
        let Some((_, place)) = places.find(|(number, trace)| *number == at && **trace == 0) else {
            return Ok(());
        };
        *place = 1;
        let written = self.traces.set(page, &Wire(Page { spots }), 0);
        written.map_err(write_error("addresses", PAGES))
    }

    pub(super) fn remove(
        &mut self,
        address: F::Address,
        frontend: Frontend,
    ) -> Result<(), StoreError> {
        let removed = self.map.remove(&Wire(key(address, frontend)));
        absent_is_fine(removed).map_err(refused("frontends", REMOVING))
    }
}

fn key<A>(address: A, frontend: Frontend) -> FrontendKey<A> {
    FrontendKey {
        address,
        port: frontend.port.to_be_bytes(),
        protocol: frontend.protocol,
        scope: frontend.scope,
    }
}
