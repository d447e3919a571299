// SPDX-License-Identifier: MIT OR Apache-2.0
//! The maps in plain memory, with the kernel's limits and without a kernel. Values are kept as they
//! are given: `identity` guards against torn reads, which plain memory has none of.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use lb_common::wire::{Backend, Chunk, Node, Range, Service};

use super::{Capacity, Frontend, Store, StoreError};

/// A store that lives as long as its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    capacity: Capacity,
    frontends: BTreeMap<Frontend, Service>,
    admitted: BTreeSet<(u32, IpNet)>,
    backends: BTreeMap<u32, Backend>,
    chunks: BTreeMap<u32, Chunk>,
    labels: BTreeMap<u32, String>,
    counter: u64,
    node: Option<Node>,
    ranges: Option<[Range; 2]>,
    nodes: BTreeSet<IpAddr>,
}

impl Memory {
    /// Empty maps of these sizes.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            frontends: BTreeMap::new(),
            admitted: BTreeSet::new(),
            backends: BTreeMap::new(),
            chunks: BTreeMap::new(),
            labels: BTreeMap::new(),
            counter: 0,
            node: None,
            ranges: None,
            nodes: BTreeSet::new(),
        }
    }

    /// The node's settings, once written.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Where Services' addresses come from, once written.
    pub fn ranges(&self) -> Option<&[Range; 2]> {
        self.ranges.as_ref()
    }

    /// Addresses of the cluster's nodes.
    pub fn nodes(&self) -> &BTreeSet<IpAddr> {
        &self.nodes
    }

    /// A chunk, if it was ever written.
    pub fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.chunks.get(&index)
    }

    fn is_full_of_frontends(&self, frontend: Frontend) -> bool {
        let capacity = index(self.capacity.frontends);
        if self.frontends.len() < capacity || self.frontends.contains_key(&frontend) {
            return false;
        }
        let same_family = |known: &&Frontend| known.address.is_ipv4() == frontend.address.is_ipv4();
        self.frontends.keys().filter(same_family).count() >= capacity
    }
}

impl Store for Memory {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn frontends(&self) -> Result<Vec<(Frontend, Service)>, StoreError> {
        Ok(self
            .frontends
            .iter()
            .map(|(key, value)| (*key, *value))
            .collect())
    }

    fn put_frontend(&mut self, frontend: Frontend, service: &Service) -> Result<(), StoreError> {
        if self.is_full_of_frontends(frontend) {
            return Err(full("frontends", self.capacity.frontends));
        }
        self.frontends.insert(frontend, *service);
        Ok(())
    }

    fn remove_frontend(&mut self, frontend: Frontend) -> Result<(), StoreError> {
        self.frontends.remove(&frontend);
        Ok(())
    }

    fn admitted(&self) -> Result<Vec<(u32, IpNet)>, StoreError> {
        Ok(self.admitted.iter().copied().collect())
    }

    fn admit(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.admitted.insert((service_id, range));
        Ok(())
    }

    fn bar(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.admitted.remove(&(service_id, range));
        Ok(())
    }

    fn backends(&self) -> Result<Vec<(u32, Backend)>, StoreError> {
        Ok(self
            .backends
            .iter()
            .map(|(id, value)| (*id, *value))
            .collect())
    }

    fn put_backends(&mut self, backends: &[Backend]) -> Result<(), StoreError> {
        let capacity = self.capacity.backends;
        if backends.iter().any(|backend| backend.id >= capacity) {
            return Err(full("backends", capacity));
        }
        let by_id = backends.iter().map(|backend| (backend.id, *backend));
        self.backends.extend(by_id);
        Ok(())
    }

    fn remove_backend(&mut self, id: u32) -> Result<(), StoreError> {
        self.backends.remove(&id);
        Ok(())
    }

    fn chunks(&self, first: u32, count: u32) -> Result<Vec<Chunk>, StoreError> {
        let indices = first..first.saturating_add(count).min(self.capacity.chunks);
        let chunk = |index| self.chunks.get(&index).copied().unwrap_or_default();
        Ok(indices.map(chunk).collect())
    }

    fn put_chunks(&mut self, first: u32, chunks: &[Chunk]) -> Result<(), StoreError> {
        for (index, chunk) in (first..).zip(chunks) {
            if index >= self.capacity.chunks {
                return Err(full("slots", self.capacity.chunks));
            }
            self.chunks.insert(index, *chunk);
        }
        Ok(())
    }

    fn counter(&self) -> Result<u64, StoreError> {
        Ok(self.counter)
    }

    fn put_counter(&mut self, counter: u64) -> Result<(), StoreError> {
        self.counter = counter;
        Ok(())
    }

    fn labels(&self) -> Result<Vec<(u32, String)>, StoreError> {
        Ok(self
            .labels
            .iter()
            .map(|(id, label)| (*id, label.clone()))
            .collect())
    }

    fn put_label(&mut self, service_id: u32, label: &str) -> Result<(), StoreError> {
        self.labels.insert(service_id, label.to_owned());
        Ok(())
    }

    fn remove_label(&mut self, service_id: u32) -> Result<(), StoreError> {
        self.labels.remove(&service_id);
        Ok(())
    }

    fn put_node(&mut self, node: &Node) -> Result<(), StoreError> {
        self.node = Some(*node);
        Ok(())
    }

    fn put_ranges(&mut self, ranges: &[Range; 2]) -> Result<(), StoreError> {
        self.ranges = Some(*ranges);
        Ok(())
    }

    fn put_nodes(&mut self, nodes: &BTreeSet<IpAddr>) -> Result<(), StoreError> {
        self.nodes.clone_from(nodes);
        Ok(())
    }
}

fn index(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn full(map: &'static str, capacity: u32) -> StoreError {
    StoreError::Full { map, capacity }
}
