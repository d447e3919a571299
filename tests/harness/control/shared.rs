// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store that an agent has while a test looks at it, as kernel maps are.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use lb_common::wire::{Backend, Chunk, Node, Range, Service};
use lb_userspace::maps::{Capacity, Frontend, Store, StoreError};

/// Handles of one store.
#[derive(Debug, Default)]
pub struct Shared<S>(Arc<Mutex<S>>);

impl<S> Shared<S> {
    /// The first handle.
    pub fn new(store: S) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// The store itself.
    pub fn lock(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Store> Store for Shared<S> {
    fn capacity(&self) -> Capacity {
        self.lock().capacity()
    }

    fn frontends(&self) -> Result<Vec<(Frontend, Service)>, StoreError> {
        self.lock().frontends()
    }

    fn put_frontend(&mut self, frontend: Frontend, service: &Service) -> Result<(), StoreError> {
        self.lock().put_frontend(frontend, service)
    }

    fn remove_frontend(&mut self, frontend: Frontend) -> Result<(), StoreError> {
        self.lock().remove_frontend(frontend)
    }

    fn admitted(&self) -> Result<Vec<(u32, IpNet)>, StoreError> {
        self.lock().admitted()
    }

    fn admit(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.lock().admit(service_id, range)
    }

    fn bar(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.lock().bar(service_id, range)
    }

    fn backends(&self) -> Result<Vec<(u32, Backend)>, StoreError> {
        self.lock().backends()
    }

    fn put_backends(&mut self, backends: &[Backend]) -> Result<(), StoreError> {
        self.lock().put_backends(backends)
    }

    fn remove_backend(&mut self, id: u32) -> Result<(), StoreError> {
        self.lock().remove_backend(id)
    }

    fn chunks(&self, first: u32, count: u32) -> Result<Vec<Chunk>, StoreError> {
        self.lock().chunks(first, count)
    }

    fn put_chunks(&mut self, first: u32, chunks: &[Chunk]) -> Result<(), StoreError> {
        self.lock().put_chunks(first, chunks)
    }

    fn counter(&self) -> Result<u64, StoreError> {
        self.lock().counter()
    }

    fn put_counter(&mut self, counter: u64) -> Result<(), StoreError> {
        self.lock().put_counter(counter)
    }

    fn labels(&self) -> Result<Vec<(u32, String)>, StoreError> {
        self.lock().labels()
    }

    fn put_label(&mut self, service_id: u32, label: &str) -> Result<(), StoreError> {
        self.lock().put_label(service_id, label)
    }

    fn remove_label(&mut self, service_id: u32) -> Result<(), StoreError> {
        self.lock().remove_label(service_id)
    }

    fn put_node(&mut self, node: &Node) -> Result<(), StoreError> {
        self.lock().put_node(node)
    }

    fn put_ranges(&mut self, ranges: &[Range; 2]) -> Result<(), StoreError> {
        self.lock().put_ranges(ranges)
    }

    fn put_nodes(&mut self, nodes: &BTreeSet<IpAddr>) -> Result<(), StoreError> {
        self.lock().put_nodes(nodes)
    }
}
