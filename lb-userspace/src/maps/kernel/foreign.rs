// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows that netfilter's conntrack owns while we take over.

use super::{OpenError, Put, READING, REMOVING, WRITING, Write, absent_is_fine, open, refused};
use crate::maps::{Frontend, StoreError, pod::Wire};
use aya::maps::{HashMap, MapData, MapError};
use lb_common::{
    family::{Family, V4, V6},
    wire::{Foreign, Tuple, fingerprint},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// Who dialled what.
pub type Ends = (SocketAddr, Frontend);

/// `FOREIGN`, of both families.
#[derive(Debug)]
pub struct KernelForeign {
    v4: Table<V4>,
    v6: Table<V6>,
}

type Table<F> = HashMap<MapData, Wire<Tuple<<F as Family>::Address>>, Wire<Foreign>>;

impl KernelForeign {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            v4: open(maps, "FOREIGN_V4")?,
            v6: open(maps, "FOREIGN_V6")?,
        })
    }

    /// All of them.
    pub fn list(&self) -> Result<BTreeMap<Ends, Foreign>, StoreError> {
        let mut all = BTreeMap::new();
        list::<V4>(&self.v4, &mut all)?;
        list::<V6>(&self.v6, &mut all)?;
        Ok(all)
    }

    /// Writes one down unless it is there; `false` = there is no room.
    pub fn add(&mut self, ends: Ends, foreign: Foreign) -> Result<bool, StoreError> {
        match (ends.0.ip(), ends.1.address) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let key = key::<V4>(from.octets(), to.octets(), ends);
                add::<V4>(&mut self.v4, key, foreign)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let key = key::<V6>(from.octets(), to.octets(), ends);
                add::<V6>(&mut self.v6, key, foreign)
            }
            // No packet is of two families.
            _ => Ok(true),
        }
    }

    /// Removes one, unless it has been seen since it was listed.
    pub fn remove(&mut self, ends: Ends, listed: &Foreign) -> Result<(), StoreError> {
        match (ends.0.ip(), ends.1.address) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let key = key::<V4>(from.octets(), to.octets(), ends);
                remove::<V4>(&mut self.v4, key, listed)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let key = key::<V6>(from.octets(), to.octets(), ends);
                remove::<V6>(&mut self.v6, key, listed)
            }
            _ => Ok(()),
        }
    }
}

fn key<F: Family>(
    source: F::Address,
    destination: F::Address,
    (client, dialled): Ends,
) -> Tuple<F::Address> {
    Tuple {
        source,
        destination,
        source_port: client.port().to_be_bytes(),
        destination_port: dialled.port.to_be_bytes(),
        protocol: dialled.protocol,
        pad: [0; 3],
    }
}

fn add<F: Family>(
    table: &mut Table<F>,
    key: Tuple<F::Address>,
    foreign: Foreign,
) -> Result<bool, StoreError> {
    let identity = fingerprint(&key);
    let value = Wire(Foreign {
        identity,
        ..foreign
    });
    // What packets have written is newer.
    let made = Write::New.put(table, &Wire(key), &value);
    Ok(made.map_err(refused("flows", WRITING))? != Put::Full)
}

fn remove<F: Family>(
    table: &mut Table<F>,
    key: Tuple<F::Address>,
    listed: &Foreign,
) -> Result<(), StoreError> {
    match table.get(&Wire(key), 0) {
        Ok(Wire(found)) if found.seen_ns == listed.seen_ns => {
            absent_is_fine(table.remove(&Wire(key))).map_err(refused("flows", REMOVING))
        }
        Ok(_) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) => Err(refused("flows", READING)(error)),
    }
}

fn list<F: Family<Address: Into<IpAddr>>>(
    table: &Table<F>,
    all: &mut BTreeMap<Ends, Foreign>,
) -> Result<(), StoreError> {
    for entry in table {
        let (Wire(key), Wire(foreign)) = entry.map_err(refused("flows", READING))?;
        let client = SocketAddr::new(key.source.into(), u16::from_be_bytes(key.source_port));
        let port = u16::from_be_bytes(key.destination_port);
        let dialled = Frontend::new(key.destination.into(), port, key.protocol);
        all.insert((client, dialled), foreign);
    }
    Ok(())
}
