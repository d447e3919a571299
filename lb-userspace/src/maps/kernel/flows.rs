// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading the flows, for listings.

use super::{OpenError, READING, entries, open, refused};
use crate::maps::{StoreError, pod::Wire};
use aya::{
    Pod,
    maps::{HashMap, MapData},
};
use lb_common::{
    conntrack::seen,
    family::{Family, V4, V6},
    tables::Stage,
    wire::{Affinity, Flow, Tunnelled, Tuple},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::Path,
};

/// One tracked connection, as the client sees it.
#[derive(Clone, Copy, Debug)]
pub struct FlowEntry {
    /// The client.
    pub client: SocketAddr,
    /// What it dialled.
    pub service: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Which pair of tables it is in.
    pub stage: Stage,
    /// The rest.
    pub flow: Flow,
}

/// One that another node serves, as far as this one knows of it.
#[derive(Clone, Copy, Debug)]
pub struct TunnelEntry {
    /// The client.
    pub client: SocketAddr,
    /// What it dialled.
    pub service: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The rest.
    pub tunnelled: Tunnelled,
}

/// How full a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The map, as it is called in metrics.
    pub map: &'static str,
    /// Entries in it.
    pub entries: u32,
    /// Entries that it has room for.
    pub capacity: u32,
    /// Of those: how many may stay free while entries give way already.
    pub spare: u32,
}

/// Places that each processor may keep to itself in a map whose entries give way to newer ones
/// (`LOCAL_FREE_TARGET` of the kernel's `bpf_lru_list.h`).
const SPARE_OF_PROCESSOR: u32 = 128;

/// The four tables of flows, and those that flows fill as well.
#[derive(Debug)]
pub struct KernelFlows {
    v4: [Table<V4>; 2],
    v6: [Table<V6>; 2],
    affinities_v4: Affinities<V4>,
    affinities_v6: Affinities<V6>,
    tunnels_v4: Tunnels<V4>,
    tunnels_v6: Tunnels<V6>,
    /// Of established and of half-open ones, and of affinities.
    capacity: [u32; 3],
}

type Affinities<F> = HashMap<MapData, Wire<Tuple<<F as Family>::Address>>, Wire<Affinity>>;
type Tunnels<F> = HashMap<MapData, Wire<Tuple<<F as Family>::Address>>, Wire<Tunnelled>>;
type Table<F> = HashMap<MapData, Wire<Tuple<<F as Family>::Address>>, Wire<Flow>>;

impl KernelFlows {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            v4: [open(maps, "FLOWS_V4")?, open(maps, "HALF_OPEN_V4")?],
            v6: [open(maps, "FLOWS_V6")?, open(maps, "HALF_OPEN_V6")?],
            affinities_v4: open(maps, "AFFINITY_V4")?,
            affinities_v6: open(maps, "AFFINITY_V6")?,
            tunnels_v4: open(maps, "TUNNELLED_V4")?,
            tunnels_v6: open(maps, "TUNNELLED_V6")?,
            capacity: [
                entries(maps, "FLOWS_V4")?,
                entries(maps, "HALF_OPEN_V4")?,
                entries(maps, "AFFINITY_V4")?,
            ],
        })
    }

    /// All flows, IPv4 first, sorted by client.
    pub fn list(&self) -> Result<Vec<FlowEntry>, StoreError> {
        let mut all = Vec::new();
        list::<V4>(&self.v4, &mut all)?;
        list::<V6>(&self.v6, &mut all)?;
        Ok(all)
    }

    /// All flows that go through tunnels to other nodes, likewise.
    pub fn tunnelled(&self) -> Result<Vec<TunnelEntry>, StoreError> {
        let mut all = Vec::new();
        list_tunnels::<V4>(&self.tunnels_v4, &mut all)?;
        list_tunnels::<V6>(&self.tunnels_v6, &mut all)?;
        Ok(all)
    }

    /// How full the tables are at a time. Takes a system call for each entry, two for half-open
    /// flows.
    pub fn usage(&self, now_ns: u64) -> Result<Vec<Usage>, StoreError> {
        let [flows, half_open, affinity] = self.capacity;
        let [of_v4, opening_v4] = &self.v4;
        let [of_v6, opening_v6] = &self.v6;
        let usage = |map, entries, capacity| Usage {
            map,
            entries,
            capacity,
            spare: 0,
        };
        let evicting = |map, entries| Usage {
            spare: spare(half_open),
            ..usage(map, entries, half_open)
        };
        let opening = [
            count_live::<V4>(opening_v4, half_open, now_ns)?,
            count_live::<V6>(opening_v6, half_open, now_ns)?,
        ];
        let pinned = [
            count(&self.affinities_v4, affinity)?,
            count(&self.affinities_v6, affinity)?,
        ];
        Ok(vec![
            usage("flows_v4", count(of_v4, flows)?, flows),
            usage("flows_v6", count(of_v6, flows)?, flows),
            evicting("half_open_v4", opening[0]),
            evicting("half_open_v6", opening[1]),
            usage("affinity_v4", pinned[0], affinity),
            usage("affinity_v6", pinned[1], affinity),
        ])
    }
}

/// How many places of a table of half-open flows may stay free; half of it at most, as the kernel
/// keeps less where a table is small.
fn spare(capacity: u32) -> u32 {
    // Whoever cannot count them has one.
    let processors = aya::util::nr_cpus().map_or(1, NonZeroU32::get);
    let spare = processors.saturating_mul(SPARE_OF_PROCESSOR);
    spare.min(capacity / 2)
}

/// Half-open flows that need their places. The others lie there until somebody else does: they are
/// over, or datagrams that have their answer.
fn count_live<F: Family>(table: &Table<F>, capacity: u32, now_ns: u64) -> Result<u32, StoreError> {
    let mut live: u32 = 0;
    let room = usize::try_from(capacity).unwrap_or(usize::MAX);
    // As below, keys may come twice.
    for entry in table.iter().take(room) {
        let (_key, Wire(flow)) = entry.map_err(refused("flows", READING))?;
        let needs_it = now_ns < flow.expires_ns && flow.backend_seen & seen::DATA == 0;
        live = live.saturating_add(u32::from(needs_it));
    }
    Ok(live)
}

/// Entries of a hash that packets write. Takes a system call for each.
pub(super) fn count<K: Pod, V: Pod>(
    table: &HashMap<MapData, K, V>,
    capacity: u32,
) -> Result<u32, StoreError> {
    let mut entries: u32 = 0;
    for key in table.keys() {
        key.map_err(refused("flows", READING))?;
        entries = entries.saturating_add(1);
        // Keys that come twice (see below) must not make this go on for ever.
        if entries == capacity {
            break;
        }
    }
    Ok(entries)
}

fn list<F: Family<Address: Into<IpAddr>>>(
    [established, half_open]: &[Table<F>; 2],
    all: &mut Vec<FlowEntry>,
) -> Result<(), StoreError> {
    for (stage, table) in [
        (Stage::Established, established),
        (Stage::HalfOpen, half_open),
    ] {
        let entries = sorted(table)?;
        all.extend(entries.into_iter().map(|(key, flow)| FlowEntry {
            client: client::<F>(&key),
            service: dialled::<F>(&key),
            protocol: key.protocol,
            stage,
            flow,
        }));
    }
    Ok(())
}

fn list_tunnels<F: Family<Address: Into<IpAddr>>>(
    table: &Tunnels<F>,
    all: &mut Vec<TunnelEntry>,
) -> Result<(), StoreError> {
    let entries = sorted(table)?.into_iter();
    all.extend(entries.map(|(key, tunnelled)| TunnelEntry {
        client: client::<F>(&key),
        service: dialled::<F>(&key),
        protocol: key.protocol,
        tunnelled,
    }));
    Ok(())
}

/// A key that goes while we stand on it sends the kernel back to the first one, so keys may come
/// twice.
fn sorted<K: Ord + Copy, V: Copy>(
    table: &HashMap<MapData, Wire<K>, Wire<V>>,
) -> Result<BTreeMap<K, V>, StoreError>
where
    Wire<K>: Pod,
    Wire<V>: Pod,
{
    let mut entries = BTreeMap::new();
    for entry in table {
        let (Wire(key), Wire(value)) = entry.map_err(refused("flows", READING))?;
        entries.insert(key, value);
    }
    Ok(entries)
}

fn client<F: Family<Address: Into<IpAddr>>>(key: &Tuple<F::Address>) -> SocketAddr {
    SocketAddr::new(key.source.into(), u16::from_be_bytes(key.source_port))
}

fn dialled<F: Family<Address: Into<IpAddr>>>(key: &Tuple<F::Address>) -> SocketAddr {
    let port = u16::from_be_bytes(key.destination_port);
    SocketAddr::new(key.destination.into(), port)
}
