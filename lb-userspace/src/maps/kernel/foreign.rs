// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows that netfilter's conntrack owns while we take over.

use super::{OpenError, READING, REMOVING, WRITING, absent_is_fine, open, refused};
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
        match addresses(ends) {
            Some(Addresses::V4(from, to)) => {
                add::<V4>(&mut self.v4, key::<V4>(from, to, ends), foreign)
            }
            Some(Addresses::V6(from, to)) => {
                add::<V6>(&mut self.v6, key::<V6>(from, to, ends), foreign)
            }
            None => Ok(true),
        }
    }

    /// Removes one, unless it has been seen since it was listed.
    pub fn remove(&mut self, ends: Ends, listed: &Foreign) -> Result<(), StoreError> {
        match addresses(ends) {
            Some(Addresses::V4(from, to)) => {
                remove::<V4>(&mut self.v4, key::<V4>(from, to, ends), listed)
            }
            Some(Addresses::V6(from, to)) => {
                remove::<V6>(&mut self.v6, key::<V6>(from, to, ends), listed)
            }
            None => Ok(()),
        }
    }
}

/// Both ends of a flow are of one family.
enum Addresses {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

fn addresses((client, dialled): Ends) -> Option<Addresses> {
    match (client.ip(), dialled.address) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(Addresses::V4(from.octets(), to.octets())),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(Addresses::V6(from.octets(), to.octets())),
        _ => None,
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
    /// `BPF_NOEXIST` of `include/uapi/linux/bpf.h`: what packets have written is newer.
    const NOEXIST: u64 = 1;
    let identity = fingerprint(&key);
    let value = Wire(Foreign {
        identity,
        ..foreign
    });
    let Err(error) = table.insert(&Wire(key), &value, NOEXIST) else {
        return Ok(true);
    };
    match refused("flows", WRITING)(error) {
        StoreError::Refused { cause, .. } if cause.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok(true)
        }
        StoreError::Refused { cause, .. }
            if rustix::io::Errno::from_io_error(&cause) == Some(rustix::io::Errno::TOOBIG) =>
        {
            Ok(false)
        }
        other => Err(other),
    }
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
        let dialled = Frontend {
            address: key.destination.into(),
            port: u16::from_be_bytes(key.destination_port),
            protocol: key.protocol,
        };
        all.insert((client, dialled), foreign);
    }
    Ok(())
}
