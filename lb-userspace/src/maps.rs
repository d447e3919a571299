// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's maps behind one trait, so that reconciling can be tried without a kernel and with
//! writes that fail.
//!
//! Implemented by `maps/kernel.rs` (aya, pinned maps), `maps/memory.rs` (tests) and
//! `maps/faulty.rs` (any other store, with faults).

pub mod kernel;
pub mod pod;

pub mod memory;
pub mod faulty;

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use lb_common::wire::{Backend, BackendState, Chunk, Node, Range, Service, protocol, scope};
use serde::Serialize;

/// What clients dial, for both families: the map's key without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Whose entry it is: one of [`scope`].
    pub scope: u8,
}

impl Frontend {
    /// What is dialled, whoever dials it.
    pub const fn new(address: IpAddr, port: u16, protocol: u8) -> Self {
        Self {
            address,
            port,
            protocol,
            scope: scope::ALL,
        }
    }

    /// The entry of an address itself, which says that a Service has it: whoever dials another
    /// port or protocol of it is refused.
    pub const fn of_address(address: IpAddr) -> Self {
        Self::new(address, 0, 0)
    }

    /// Whether clients dial it; what is for tunnels, nobody does.
    pub const fn is_dialled(&self) -> bool {
        self.scope != scope::TUNNEL
    }

    /// The entry for everybody: what is dialled, whoever dials it.
    #[must_use]
    pub const fn for_all(self) -> Self {
        Self {
            scope: scope::ALL,
            ..self
        }
    }

    /// Whether it is the entry of an address.
    pub const fn is_of_address(&self) -> bool {
        self.port == 0 && self.protocol == 0
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = SocketAddr::new(self.address, self.port);
        match self.protocol {
            protocol::TCP => write!(f, "{address}/TCP"),
            protocol::UDP => write!(f, "{address}/UDP"),
            protocol::SCTP => write!(f, "{address}/SCTP"),
            other => write!(f, "{address}/{other}"),
        }?;
        match self.scope {
            scope::OUTSIDE => f.write_str(" from outside"),
            scope::TUNNEL => f.write_str(" from a tunnel"),
            _ => Ok(()),
        }
    }
}

/// How many entries the maps of a store have room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capacity {
    /// Frontends of each family.
    pub frontends: u32,
    /// Backend ids, id 0 included, which is never given out.
    pub backends: u32,
    /// Chunks of slots.
    pub chunks: u32,
}

/// A write or a read of a map failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room.
    #[error("map {map} is full ({capacity} entries); start with a larger --{map} to make room")]
    Full {
        /// The map, as its flag is called.
        map: &'static str,
        /// Its size.
        capacity: u32,
    },
    /// The kernel refused.
    #[error("{action} map {map}")]
    Refused {
        /// The map.
        map: &'static str,
        /// What was tried: "reading", "writing", "removing from".
        action: &'static str,
        /// What the kernel said.
        #[source]
        cause: std::io::Error,
    },
}

/// The maps that say where Services lead.
///
/// Calls are idempotent; removing what is absent is fine. A call that fails has changed nothing,
/// but for [`Store::put_chunks`] and [`Store::put_nodes`], which may have done some of their work.
pub trait Store {
    /// Sizes, fixed for the life of the store.
    fn capacity(&self) -> Capacity;

    /// All frontends there are.
    fn frontends(&self) -> Result<Vec<(Frontend, Service)>, StoreError>;
    /// Points a frontend to a Service, in one step. The store fills in `identity`.
    fn put_frontend(&mut self, frontend: Frontend, service: &Service) -> Result<(), StoreError>;
    /// Takes a frontend away.
    fn remove_frontend(&mut self, frontend: Frontend) -> Result<(), StoreError>;

    /// Who may dial which Service, by `service_id`.
    fn admitted(&self) -> Result<Vec<(u32, IpNet)>, StoreError>;
    /// Lets a range dial a Service. There must be no bits beyond the range's own.
    fn admit(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError>;
    /// Takes that back.
    fn bar(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError>;

    /// All backends that are not free, by id.
    fn backends(&self) -> Result<Vec<(u32, Backend)>, StoreError>;
    /// Writes backends under their ids, all or none.
    fn put_backends(&mut self, backends: &[Backend]) -> Result<(), StoreError>;
    /// Frees an id.
    fn remove_backend(&mut self, id: u32) -> Result<(), StoreError>;

    /// Chunks from an index on, for restoring and checking.
    fn chunks(&self, first: u32, count: u32) -> Result<Vec<Chunk>, StoreError>;
    /// Writes chunks from an index on.
    fn put_chunks(&mut self, first: u32, chunks: &[Chunk]) -> Result<(), StoreError>;

    /// The node's counter that epochs and versions come from; 0 in a new store.
    fn counter(&self) -> Result<u64, StoreError>;
    /// Moves the counter on. It is written ahead of the numbers that it covers.
    fn put_counter(&mut self, counter: u64) -> Result<(), StoreError>;

    /// What people call the Services, by `service_id`: `namespace/name:port`. In a map like the
    /// rest, so that listings work from the pins alone while no agent lives.
    fn labels(&self) -> Result<Vec<(u32, String)>, StoreError>;
    /// Names a `service_id`. Longer labels than the map's values are cut.
    fn put_label(&mut self, service_id: u32, label: &str) -> Result<(), StoreError>;
    /// Forgets a `service_id`.
    fn remove_label(&mut self, service_id: u32) -> Result<(), StoreError>;

    /// Writes the node's settings.
    fn put_node(&mut self, node: &Node) -> Result<(), StoreError>;
    /// Writes where Services' addresses come from, of each family.
    fn put_ranges(&mut self, ranges: &[Range; 2]) -> Result<(), StoreError>;
    /// Writes the addresses of all nodes of the cluster, in place of those that are there: who may
    /// send us tunnels.
    fn put_nodes(&mut self, nodes: &BTreeSet<IpAddr>) -> Result<(), StoreError>;
}

/// A backend's value as people write it.
pub fn backend_address(backend: &Backend) -> SocketAddr {
    let address = if backend.family == 4 {
        let [a, b, c, d, ..] = backend.address;
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(backend.address)
    };
    SocketAddr::new(address, u16::from_be_bytes(backend.port))
}

/// What [`Backend::state`] says.
pub fn backend_state(byte: u8) -> &'static str {
    match BackendState::from_byte(byte) {
        BackendState::Free => "free",
        BackendState::Active => "active",
        BackendState::Draining => "draining",
        BackendState::Quiet => "quiet",
    }
}
