// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's maps, opened by their pins: what the agent writes, and what listings read while no
//! agent lives. Knows nothing of what the values mean.

mod admitted;
mod batch;
mod family;
mod flows;
mod foreign;
mod lookup;
mod names;
mod nodes;
mod overheard;
mod reasons;
mod write;

pub use flows::{FlowEntry, KernelFlows, TunnelEntry, Usage};
pub use foreign::{Ends, KernelForeign};
pub use lookup::{FamilyTables, KernelTables, Table};
pub use names::KernelNames;
pub use overheard::KernelOverheard;
pub use reasons::KernelReasons;
pub(crate) use write::{Put, Write};

use super::{Capacity, Frontend, Store, StoreError, pod::Wire};
use admitted::Ranges;
use aya::maps::{Array, HashMap, Map, MapData, MapError, MapInfo};
use family::Frontends;
use ipnet::IpNet;
use lb_common::{
    family::{V4, V6},
    wire::{Backend, BackendState, Chunk, Node, Range, Service, Takeover},
};
use nodes::Nodes;
use std::{collections::BTreeSet, io, net::IpAddr, path::Path};

/// Bytes of a label in `LABELS`, padding included.
pub const LABEL_LENGTH: usize = 384;

/// A pinned map cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "opening pinned map {path}: this needs root, and maps that `weiche run` of this version has \
     pinned with the same --pin-dir"
)]
pub struct OpenError {
    /// The pin.
    pub path: String,
    /// What the kernel said.
    #[source]
    pub cause: Box<MapError>,
}

/// [`Store`] over the pinned maps.
pub struct KernelStore {
    frontends_v4: Frontends<V4>,
    frontends_v6: Frontends<V6>,
    admitted_v4: Ranges<V4>,
    admitted_v6: Ranges<V6>,
    backends: Array<MapData, Wire<Backend>>,
    slots: Array<MapData, Wire<Chunk>>,
    counter: Array<MapData, u64>,
    labels: HashMap<MapData, u32, [u8; LABEL_LENGTH]>,
    node: Array<MapData, Wire<Node>>,
    ranges: Array<MapData, Wire<Range>>,
    nodes_v4: Nodes<V4>,
    nodes_v6: Nodes<V6>,
    capacity: Capacity,
}

impl KernelStore {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        let frontends_v4 = Frontends::open(maps, "FRONTENDS_V4", "ADDRESSES_V4")?;
        let backends: Array<_, _> = open(maps, "BACKENDS")?;
        let slots: Array<_, _> = open(maps, "SLOTS")?;
        let capacity = Capacity {
            frontends: frontends_v4.capacity(),
            backends: backends.len(),
            chunks: slots.len(),
        };
        Ok(Self {
            frontends_v4,
            frontends_v6: Frontends::open(maps, "FRONTENDS_V6", "ADDRESSES_V6")?,
            admitted_v4: Ranges::open(maps, "ADMITTED_V4")?,
            admitted_v6: Ranges::open(maps, "ADMITTED_V6")?,
            backends,
            slots,
            counter: open(maps, "COUNTER")?,
            labels: open(maps, "LABELS")?,
            node: open(maps, "NODE")?,
            ranges: open(maps, "RANGES")?,
            nodes_v4: Nodes::open(maps, "NODES_V4")?,
            nodes_v6: Nodes::open(maps, "NODES_V6")?,
            capacity,
        })
    }

    /// Where Services' addresses come from, of each family.
    pub fn ranges(&self) -> Result<[Range; 2], StoreError> {
        let get = |index| match self.ranges.get(&index, 0) {
            Ok(Wire(range)) => Ok(range),
            Err(error) => Err(refused("ranges", READING)(error)),
        };
        Ok([get(0)?, get(1)?])
    }

    /// The node's settings.
    pub fn node(&self) -> Result<Node, StoreError> {
        let Wire(node) = self.node.get(&0, 0).map_err(refused("node", READING))?;
        Ok(node)
    }

    /// Says how far we have taken over.
    pub fn put_takeover(&mut self, takeover: Takeover) -> Result<(), StoreError> {
        self.change_node(|node| node.takeover = takeover.number())
    }

    /// Says until when packets may pass the host's stack by.
    pub fn put_direct_until(&mut self, direct_until_ns: u64) -> Result<(), StoreError> {
        self.change_node(|node| node.direct_until_ns = direct_until_ns)
    }

    /// Says for how long a tombstone is kept.
    pub fn put_tombstone(&mut self, tombstone_ns: u64) -> Result<(), StoreError> {
        self.change_node(|node| node.timeouts.tombstone_ns = tombstone_ns)
    }

    /// Writes the node's settings with one of them changed, if that changes anything.
    fn change_node(&mut self, change: impl FnOnce(&mut Node)) -> Result<(), StoreError> {
        let old = self.node()?;
        let mut node = old;
        change(&mut node);
        if node == old {
            return Ok(());
        }
        self.put_node(&node)
    }

    /// Whether there is such a frontend.
    pub fn serves(&self, frontend: Frontend) -> Result<bool, StoreError> {
        match frontend.address {
            IpAddr::V4(address) => self.frontends_v4.has(address.octets(), frontend),
            IpAddr::V6(address) => self.frontends_v6.has(address.octets(), frontend),
        }
    }
}

impl Store for KernelStore {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn frontends(&self) -> Result<Vec<(Frontend, Service)>, StoreError> {
        let mut all = self.frontends_v4.list()?;
        all.extend(self.frontends_v6.list()?);
        Ok(all)
    }

    fn put_frontend(&mut self, frontend: Frontend, service: &Service) -> Result<(), StoreError> {
        match frontend.address {
            IpAddr::V4(address) => self.frontends_v4.put(address.octets(), frontend, service),
            IpAddr::V6(address) => self.frontends_v6.put(address.octets(), frontend, service),
        }
    }

    fn remove_frontend(&mut self, frontend: Frontend) -> Result<(), StoreError> {
        match frontend.address {
            IpAddr::V4(address) => self.frontends_v4.remove(address.octets(), frontend),
            IpAddr::V6(address) => self.frontends_v6.remove(address.octets(), frontend),
        }
    }

    fn admitted(&self) -> Result<Vec<(u32, IpNet)>, StoreError> {
        let mut all = self.admitted_v4.list()?;
        all.extend(self.admitted_v6.list()?);
        Ok(all)
    }

    fn admit(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        let length = range.prefix_len();
        match range.addr() {
            IpAddr::V4(first) => self.admitted_v4.put(service_id, first.octets(), length),
            IpAddr::V6(first) => self.admitted_v6.put(service_id, first.octets(), length),
        }
    }

    fn bar(&mut self, service_id: u32, range: IpNet) -> Result<(), StoreError> {
        let length = range.prefix_len();
        match range.addr() {
            IpAddr::V4(first) => self.admitted_v4.remove(service_id, first.octets(), length),
            IpAddr::V6(first) => self.admitted_v6.remove(service_id, first.octets(), length),
        }
    }

    fn backends(&self) -> Result<Vec<(u32, Backend)>, StoreError> {
        let mut all = Vec::new();
        let mut first = 0;
        while first < self.capacity.backends {
            let count = BATCH.min(self.capacity.backends - first);
            let read = batch::read(&self.backends, first, count);
            let read = read.map_err(|cause| refusal("backends", READING, cause))?;
            let taken = (first..).zip(read).filter(|(_, backend)| {
                BackendState::from_byte(backend.state) != BackendState::Free
            });
            all.extend(taken);
            first += count;
        }
        Ok(all)
    }

    fn put_backends(&mut self, backends: &[Backend]) -> Result<(), StoreError> {
        let ids: Vec<u32> = backends.iter().map(|backend| backend.id).collect();
        if ids.iter().any(|id| *id >= self.capacity.backends) {
            return Err(full("backends", self.capacity.backends));
        }
        let written = batch::write(&self.backends, &ids, backends);
        written.map_err(|cause| refusal("backends", WRITING, cause))
    }

    fn remove_backend(&mut self, id: u32) -> Result<(), StoreError> {
        let free = Wire(Backend {
            id,
            ..Backend::default()
        });
        self.backends
            .set(id, &free, 0)
            .map_err(refused("backends", REMOVING))
    }

    fn chunks(&self, first: u32, count: u32) -> Result<Vec<Chunk>, StoreError> {
        let read = batch::read(&self.slots, first, count);
        read.map_err(|cause| refusal("slots", READING, cause))
    }

    fn put_chunks(&mut self, first: u32, chunks: &[Chunk]) -> Result<(), StoreError> {
        let room = self.capacity.chunks.saturating_sub(first);
        if usize::try_from(room).is_ok_and(|room| room < chunks.len()) {
            return Err(full("slots", self.capacity.chunks));
        }
        let indices: Vec<u32> = (first..).take(chunks.len()).collect();
        let written = batch::write(&self.slots, &indices, chunks);
        written.map_err(|cause| refusal("slots", WRITING, cause))
    }

    fn counter(&self) -> Result<u64, StoreError> {
        self.counter.get(&0, 0).map_err(refused("counter", READING))
    }

    fn put_counter(&mut self, counter: u64) -> Result<(), StoreError> {
        self.counter
            .set(0, &counter, 0)
            .map_err(refused("counter", WRITING))
    }

    fn labels(&self) -> Result<Vec<(u32, String)>, StoreError> {
        let mut all = Vec::new();
        for entry in &self.labels {
            let (id, bytes) = entry.map_err(refused("labels", READING))?;
            let end = bytes
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(LABEL_LENGTH);
            let text = bytes.get(..end).unwrap_or_default();
            all.push((id, String::from_utf8_lossy(text).into_owned()));
        }
        Ok(all)
    }

    fn put_label(&mut self, service_id: u32, label: &str) -> Result<(), StoreError> {
        let mut bytes = [0; LABEL_LENGTH];
        let end = label.floor_char_boundary(LABEL_LENGTH);
        for (to, from) in bytes.iter_mut().zip(label.as_bytes().iter().take(end)) {
            *to = *from;
        }
        let written = self.labels.insert(&service_id, &bytes, 0);
        written.map_err(write_error("frontends", self.capacity.frontends))
    }

    fn remove_label(&mut self, service_id: u32) -> Result<(), StoreError> {
        absent_is_fine(self.labels.remove(&service_id)).map_err(refused("labels", REMOVING))
    }

    fn put_node(&mut self, node: &Node) -> Result<(), StoreError> {
        self.node
            .set(0, &Wire(*node), 0)
            .map_err(refused("node", WRITING))
    }

    fn put_ranges(&mut self, ranges: &[Range; 2]) -> Result<(), StoreError> {
        for (index, range) in (0..).zip(ranges) {
            self.ranges
                .set(index, &Wire(*range), 0)
                .map_err(refused("ranges", WRITING))?;
        }
        Ok(())
    }

    fn put_nodes(&mut self, nodes: &BTreeSet<IpAddr>) -> Result<(), StoreError> {
        let (mut of_v4, mut of_v6) = (BTreeSet::new(), BTreeSet::new());
        for address in nodes {
            match address {
                IpAddr::V4(address) => of_v4.insert(address.octets()),
                IpAddr::V6(address) => of_v6.insert(address.octets()),
            };
        }
        self.nodes_v4.put(&of_v4)?;
        self.nodes_v6.put(&of_v6)
    }
}

/// Backends that are read at once: some 200 KiB.
const BATCH: u32 = 4_096;

const READING: &str = "reading";
const WRITING: &str = "writing";
const REMOVING: &str = "removing from";

/// Opens one pinned map as the type asked for; key and value sizes are checked.
pub(crate) fn open<M>(maps: &Path, name: &str) -> Result<M, OpenError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let path = maps.join(name);
    let opened = MapData::from_pin(&path)
        .and_then(Map::from_map_data)
        .and_then(M::try_from);
    opened.map_err(|cause| OpenError {
        path: path.display().to_string(),
        cause: Box::new(cause),
    })
}

/// How many entries a pinned map has room for.
pub(crate) fn entries(maps: &Path, name: &str) -> Result<u32, OpenError> {
    let path = maps.join(name);
    let info = MapInfo::from_pin(&path).map_err(|cause| OpenError {
        path: path.display().to_string(),
        cause: Box::new(cause),
    })?;
    Ok(info.max_entries())
}

/// A failed write into a hash: full, or refused.
fn write_error(map: &'static str, capacity: u32) -> impl Fn(MapError) -> StoreError {
    move |error| match refused(map, WRITING)(error) {
        // A hash whose entries are all in use says E2BIG; one that makes them on demand, ENOMEM.
        StoreError::Refused { cause, .. }
            if matches!(
                cause
                    .raw_os_error()
                    .map(rustix::io::Errno::from_raw_os_error),
                Some(rustix::io::Errno::TOOBIG | rustix::io::Errno::NOSPC)
            ) =>
        {
            full(map, capacity)
        }
        other => other,
    }
}

fn full(map: &'static str, capacity: u32) -> StoreError {
    StoreError::Full { map, capacity }
}

fn refused(map: &'static str, action: &'static str) -> impl Fn(MapError) -> StoreError {
    move |error| refusal(map, action, cause(error))
}

fn refusal(map: &'static str, action: &'static str, cause: io::Error) -> StoreError {
    StoreError::Refused { map, action, cause }
}

/// What the kernel said, without aya's wrapping.
fn cause(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::KeyNotFound | MapError::ElementNotFound => {
            io::Error::new(io::ErrorKind::NotFound, "no such entry")
        }
        other => io::Error::other(other),
    }
}

/// Removing what is not there has done its job.
fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            Ok(())
        }
        other => other,
    }
}
