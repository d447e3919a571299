// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading the flows, for listings.

use super::{OpenError, READING, open, refused};
use crate::maps::{StoreError, pod::Wire};
use aya::maps::{HashMap, MapData};
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

/// The four tables of flows.
#[derive(Debug)]
pub struct KernelFlows {
    v4: [Table<V4>; 2],
    v6: [Table<V6>; 2],
}

type Table<F> = HashMap<MapData, Wire<Tuple<<F as Family>::Address>>, Wire<Flow>>;

impl KernelFlows {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            v4: [open(maps, "FLOWS_V4")?, open(maps, "HALF_OPEN_V4")?],
            v6: [open(maps, "FLOWS_V6")?, open(maps, "HALF_OPEN_V6")?],
        })
    }

    /// All flows, IPv4 first, sorted by client.
    pub fn list(&self) -> Result<Vec<FlowEntry>, StoreError> {
        let mut all = Vec::new();
        list::<V4>(&self.v4, &mut all)?;
        list::<V6>(&self.v6, &mut all)?;
        Ok(all)
    }
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
