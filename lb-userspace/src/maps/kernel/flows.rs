// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading the flows, for listings.

use super::{OpenError, READING, entries, open, refused};
use crate::maps::{StoreError, pod::Wire};
use aya::{
    Pod,
    maps::{HashMap, MapData},
};
use lb_common::{
    family::{Family, V4, V6},
    tables::Stage,
    wire::{Flow, Tuple},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
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

/// How full a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The map, as it is called in metrics.
    pub map: &'static str,
    /// Entries in it.
    pub entries: u32,
    /// Entries that it has room for.
    pub capacity: u32,
}

/// The four tables of flows.
#[derive(Debug)]
pub struct KernelFlows {
    v4: [Table<V4>; 2],
    v6: [Table<V6>; 2],
    /// Of established and of half-open ones.
    capacity: [u32; 2],
}

type Table<F> = HashMap<MapData, Wire<Tuple<<F as Family>::Address>>, Wire<Flow>>;

impl KernelFlows {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            v4: [open(maps, "FLOWS_V4")?, open(maps, "HALF_OPEN_V4")?],
            v6: [open(maps, "FLOWS_V6")?, open(maps, "HALF_OPEN_V6")?],
            capacity: [entries(maps, "FLOWS_V4")?, entries(maps, "HALF_OPEN_V4")?],
        })
    }

    /// All flows, IPv4 first, sorted by client.
    pub fn list(&self) -> Result<Vec<FlowEntry>, StoreError> {
        let mut all = Vec::new();
        list::<V4>(&self.v4, &mut all)?;
        list::<V6>(&self.v6, &mut all)?;
        Ok(all)
    }

    /// How full the tables are. Takes a system call for each flow.
    pub fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        let [flows, half_open] = self.capacity;
        let [flows_v4, half_open_v4] = &self.v4;
        let [flows_v6, half_open_v6] = &self.v6;
        Ok(vec![
            usage::<V4>("flows_v4", flows_v4, flows)?,
            usage::<V6>("flows_v6", flows_v6, flows)?,
            usage::<V4>("half_open_v4", half_open_v4, half_open)?,
            usage::<V6>("half_open_v6", half_open_v6, half_open)?,
        ])
    }
}

fn usage<F: Family>(
    map: &'static str,
    table: &Table<F>,
    capacity: u32,
) -> Result<Usage, StoreError> {
    Ok(Usage {
        map,
        entries: count(table, capacity)?,
        capacity,
    })
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
        // A key that goes while we stand on it sends the kernel back to the first one, so keys may
        // come twice.
        let mut entries = BTreeMap::new();
        for entry in table {
            let (Wire(key), Wire(flow)) = entry.map_err(refused("flows", READING))?;
            entries.insert(key, flow);
        }
        all.extend(entries.into_iter().map(|(key, flow)| FlowEntry {
            client: SocketAddr::new(key.source.into(), u16::from_be_bytes(key.source_port)),
            service: SocketAddr::new(
                key.destination.into(),
                u16::from_be_bytes(key.destination_port),
            ),
            protocol: key.protocol,
            stage,
            flow,
        }));
    }
    Ok(())
}
