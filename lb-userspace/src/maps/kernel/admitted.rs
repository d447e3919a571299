// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ADMITTED_*`: the ranges of one family from which Services may be dialled.

use super::{OpenError, READING, REMOVING, WRITING, absent_is_fine, open, refused};
use crate::maps::{StoreError, pod::Wire};
use aya::maps::{
    MapData, MapError,
    lpm_trie::{Key, LpmTrie},
};
use ipnet::IpNet;
use lb_common::{family::Family, wire::Admitted};
use std::{net::IpAddr, path::Path};

/// The map.
pub(crate) struct Ranges<F: Family>(LpmTrie<MapData, Wire<Admitted<F::Address>>, u32>);

impl<F: Family> Ranges<F> {
    pub(super) fn open(maps: &Path, name: &str) -> Result<Self, OpenError> {
        Ok(Self(open(maps, name)?))
    }

    /// Whether a client is in a range that a Service admits.
    pub(crate) fn admits(&self, service_id: u32, client: F::Address) -> Result<bool, StoreError> {
        let all_bits = u8::try_from(8 * size_of::<F::Address>()).unwrap_or(u8::MAX);
        match self.0.get(&key::<F>(service_id, client, all_bits), 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) => Err(refused(MAP, READING)(error)),
        }
    }
}

impl<F: Family<Address: Into<IpAddr>>> Ranges<F> {
    pub(super) fn list(&self) -> Result<Vec<(u32, IpNet)>, StoreError> {
        let mut all = Vec::new();
        for key in self.0.keys() {
            let key = key.map_err(refused(MAP, READING))?;
            let Wire(admitted) = key.data();
            let length = key.prefix_len();
            let length = length.saturating_sub(Admitted::<F::Address>::NUMBER_BITS);
            let length = u8::try_from(length).unwrap_or(u8::MAX);
            // No other ones are written.
            if let Ok(range) = IpNet::new(admitted.address.into(), length) {
                all.push((u32::from_be_bytes(admitted.service_id), range));
            }
        }
        Ok(all)
    }

    pub(super) fn put(
        &mut self,
        service_id: u32,
        first: F::Address,
        length: u8,
    ) -> Result<(), StoreError> {
        let key = key::<F>(service_id, first, length);
        self.0.insert(&key, &1, 0).map_err(refused(MAP, WRITING))
    }

    pub(super) fn remove(
        &mut self,
        service_id: u32,
        first: F::Address,
        length: u8,
    ) -> Result<(), StoreError> {
        let removed = self.0.remove(&key::<F>(service_id, first, length));
        absent_is_fine(removed).map_err(refused(MAP, REMOVING))
    }
}

const MAP: &str = "admitted";

fn key<F: Family>(
    service_id: u32,
    first: F::Address,
    length: u8,
) -> Key<Wire<Admitted<F::Address>>> {
    let bits = Admitted::<F::Address>::NUMBER_BITS.saturating_add(u32::from(length));
    let service_id = service_id.to_be_bytes();
    Key::new(
        bits,
        Wire(Admitted {
            service_id,
            address: first,
        }),
    )
}
