// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any store, with faults: each call fails with a given probability, from a given seed.

use std::{cell::Cell, collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use lb_common::{
    hash::hash,
    wire::{Backend, Chunk, Node, Range, Service},
};

use super::{Capacity, Frontend, Store, StoreError};

/// A store whose calls fail at random. A call that fails has changed nothing.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    /// The store that the calls go to.
    pub store: S,
    per_mille: u64,
    seed: u64,
    calls: Cell<u64>,
    failed: Cell<u64>,
}

impl<S> Faulty<S> {
    /// Lets `per_mille` of 1,000 calls fail.
    pub fn new(store: S, per_mille: u64, seed: u64) -> Self {
        Self {
            store,
            per_mille,
            seed,
            calls: Cell::new(0),
            failed: Cell::new(0),
        }
    }

    /// Sets how many of 1,000 calls fail from now on.
    pub fn set_per_mille(&mut self, per_mille: u64) {
        self.per_mille = per_mille;
    }

    /// How many calls have failed.
    pub fn failed(&self) -> u64 {
        self.failed.get()
    }

    fn chance(&self, map: &'static str, action: &'static str) -> Result<(), StoreError> {
        let call = self.calls.replace(self.calls.get().wrapping_add(1));
        if hash([self.seed, 0], &[call]) % 1_000 >= self.per_mille {
            return Ok(());
        }
        self.failed.set(self.failed.get().wrapping_add(1));
        Err(StoreError::Refused {
            map,
            action,
            cause: std::io::Error::other("injected fault"),
        })
    }
}

impl<S: Store> Store for Faulty<S> {
    fn capacity(&self) -> Capacity {
        self.store.capacity()
    }

    fn frontends(&self) -> Result<Vec<(Frontend, Service)>, StoreError> {
        self.chance("frontends", "reading")?;
        self.store.frontends()
    }

    fn put_frontend(&mut self, frontend: Frontend, service: &Service) -> Result<(), StoreError> {
        self.chance("frontends", "writing")?;
        self.store.put_frontend(frontend, service)
    }

    fn remove_frontend(&mut self, frontend: Frontend) -> Result<(), StoreError> {
        self.chance("frontends", "removing from")?;
        self.store.remove_frontend(frontend)
    }

    fn admitted(&self) -> Result<Vec<(u32, IpNet)>, StoreError> {
        self.chance("admitted", "reading")?;
        self.store.admitted()
    }

    fn admit(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.chance("admitted", "writing")?;
        self.store.admit(service_id, range)
    }

    fn bar(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.chance("admitted", "removing from")?;
        self.store.bar(service_id, range)
    }

    fn backends(&self) -> Result<Vec<(u32, Backend)>, StoreError> {
        self.chance("backends", "reading")?;
        self.store.backends()
    }

    fn put_backends(&mut self, backends: &[Backend]) -> Result<(), StoreError> {
        self.chance("backends", "writing")?;
        self.store.put_backends(backends)
    }

    fn remove_backend(&mut self, id: u32) -> Result<(), StoreError> {
        self.chance("backends", "removing from")?;
        self.store.remove_backend(id)
    }

    fn chunks(&self, first: u32, count: u32) -> Result<Vec<Chunk>, StoreError> {
        self.chance("slots", "reading")?;
        self.store.chunks(first, count)
    }

    fn put_chunks(&mut self, first: u32, chunks: &[Chunk]) -> Result<(), StoreError> {
        self.chance("slots", "writing")?;
        self.store.put_chunks(first, chunks)
    }

    fn counter(&self) -> Result<u64, StoreError> {
        self.chance("counter", "reading")?;
        self.store.counter()
    }

    fn put_counter(&mut self, counter: u64) -> Result<(), StoreError> {
        self.chance("counter", "writing")?;
        self.store.put_counter(counter)
    }

    fn labels(&self) -> Result<Vec<(u32, String)>, StoreError> {
        self.chance("labels", "reading")?;
        self.store.labels()
    }

    fn put_label(&mut self, service_id: u32, label: &str) -> Result<(), StoreError> {
        self.chance("labels", "writing")?;
        self.store.put_label(service_id, label)
    }

    fn remove_label(&mut self, service_id: u32) -> Result<(), StoreError> {
        self.chance("labels", "removing from")?;
        self.store.remove_label(service_id)
    }

    fn put_node(&mut self, node: &Node) -> Result<(), StoreError> {
        self.chance("node", "writing")?;
        self.store.put_node(node)
    }

    fn put_ranges(&mut self, ranges: &[Range; 2]) -> Result<(), StoreError> {
        self.chance("ranges", "writing")?;
        self.store.put_ranges(ranges)
    }

    fn put_nodes(&mut self, nodes: &BTreeSet<IpAddr>) -> Result<(), StoreError> {
        self.chance("nodes", "writing")?;
        self.store.put_nodes(nodes)
    }
}
