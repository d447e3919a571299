// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every write to a store, one by one, to be done again: what a crash may leave behind is any
//! prefix of it.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use lb_common::wire::{Backend, Chunk, Node, Range, Service};
use lb_userspace::maps::{Capacity, Frontend, Store, StoreError};

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// [`Store::put_frontend`].
    PutFrontend(Frontend, Service),
    /// [`Store::remove_frontend`].
    RemoveFrontend(Frontend),
    /// [`Store::admit`].
    Admit(u32, IpNet),
    /// [`Store::bar`].
    Bar(u32, IpNet),
    /// One backend of [`Store::put_backends`].
    PutBackend(Backend),
    /// [`Store::remove_backend`].
    RemoveBackend(u32),
    /// One chunk of [`Store::put_chunks`].
    PutChunk(u32, Box<Chunk>),
    /// [`Store::put_counter`].
    PutCounter(u64),
    /// [`Store::put_label`].
    PutLabel(u32, String),
    /// [`Store::remove_label`].
    RemoveLabel(u32),
    /// [`Store::put_node`].
    PutNode(Node),
    /// [`Store::put_ranges`].
    PutRanges([Range; 2]),
    /// [`Store::put_nodes`].
    PutNodes(BTreeSet<IpAddr>),
}

impl Write {
    /// Does it.
    pub fn apply(&self, store: &mut impl Store) -> Result<(), StoreError> {
        match self {
            Self::PutFrontend(frontend, service) => store.put_frontend(*frontend, service),
            Self::RemoveFrontend(frontend) => store.remove_frontend(*frontend),
            Self::Admit(id, range) => store.admit(*id, *range),
            Self::Bar(id, range) => store.bar(*id, *range),
            Self::PutBackend(backend) => store.put_backends(&[*backend]),
            Self::RemoveBackend(id) => store.remove_backend(*id),
            Self::PutChunk(index, chunk) => store.put_chunks(*index, &[**chunk]),
            Self::PutCounter(counter) => store.put_counter(*counter),
            Self::PutLabel(id, label) => store.put_label(*id, label),
            Self::RemoveLabel(id) => store.remove_label(*id),
            Self::PutNode(node) => store.put_node(node),
            Self::PutRanges(ranges) => store.put_ranges(ranges),
            Self::PutNodes(nodes) => store.put_nodes(nodes),
        }
    }
}

/// A store that takes notes.
#[derive(Clone, Debug)]
pub struct Journal<S> {
    /// The store that is written.
    pub store: S,
    /// What was written, in order.
    pub writes: Vec<Write>,
    /// How many calls wrote it: a run of chunks is one, and so are backends together.
    pub calls: u64,
}

impl<S: Store> Journal<S> {
    /// Takes notes from now on.
    pub fn new(store: S) -> Self {
        Self {
            store,
            writes: Vec::new(),
            calls: 0,
        }
    }

    fn write(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.calls = self.calls.saturating_add(1);
        for write in writes {
            write.apply(&mut self.store)?;
            self.writes.push(write);
        }
        Ok(())
    }
}

impl<S: Store> Store for Journal<S> {
    fn capacity(&self) -> Capacity {
        self.store.capacity()
    }

    fn frontends(&self) -> Result<Vec<(Frontend, Service)>, StoreError> {
        self.store.frontends()
    }

    fn put_frontend(&mut self, frontend: Frontend, service: &Service) -> Result<(), StoreError> {
        self.write(vec![Write::PutFrontend(frontend, *service)])
    }

    fn remove_frontend(&mut self, frontend: Frontend) -> Result<(), StoreError> {
        self.write(vec![Write::RemoveFrontend(frontend)])
    }

    fn admitted(&self) -> Result<Vec<(u32, IpNet)>, StoreError> {
        self.store.admitted()
    }

    fn admit(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.write(vec![Write::Admit(service_id, range)])
    }

    fn bar(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        self.write(vec![Write::Bar(service_id, range)])
    }

    fn backends(&self) -> Result<Vec<(u32, Backend)>, StoreError> {
        self.store.backends()
    }

    fn put_backends(&mut self, backends: &[Backend]) -> Result<(), StoreError> {
        let writes = backends.iter().copied().map(Write::PutBackend);
        self.write(writes.collect())
    }

    fn remove_backend(&mut self, id: u32) -> Result<(), StoreError> {
        self.write(vec![Write::RemoveBackend(id)])
    }

    fn chunks(&self, first: u32, count: u32) -> Result<Vec<Chunk>, StoreError> {
        self.store.chunks(first, count)
    }

    fn put_chunks(&mut self, first: u32, chunks: &[Chunk]) -> Result<(), StoreError> {
        let chunks = (first..).zip(chunks);
        let writes = chunks.map(|(index, chunk)| Write::PutChunk(index, Box::new(*chunk)));
        self.write(writes.collect())
    }

    fn counter(&self) -> Result<u64, StoreError> {
        self.store.counter()
    }

    fn put_counter(&mut self, counter: u64) -> Result<(), StoreError> {
        self.write(vec![Write::PutCounter(counter)])
    }

    fn labels(&self) -> Result<Vec<(u32, String)>, StoreError> {
        self.store.labels()
    }

    fn put_label(&mut self, service_id: u32, label: &str) -> Result<(), StoreError> {
        self.write(vec![Write::PutLabel(service_id, label.to_owned())])
    }

    fn remove_label(&mut self, service_id: u32) -> Result<(), StoreError> {
        self.write(vec![Write::RemoveLabel(service_id)])
    }

    fn put_node(&mut self, node: &Node) -> Result<(), StoreError> {
        self.write(vec![Write::PutNode(*node)])
    }

    fn put_ranges(&mut self, ranges: &[Range; 2]) -> Result<(), StoreError> {
        self.write(vec![Write::PutRanges(*ranges)])
    }

    fn put_nodes(&mut self, nodes: &BTreeSet<IpAddr>) -> Result<(), StoreError> {
        self.write(vec![Write::PutNodes(nodes.clone())])
    }
}
