// SPDX-License-Identifier: MIT OR Apache-2.0
//! The maps from which the kernel answers questions for names.

use super::{
    OpenError, READING, REMOVING, WRITING, absent_is_fine, entries,
    lookup::{is_absent, whole},
    open, refused, write_error,
};
use crate::maps::{StoreError, pod::Wire};
use aya::maps::{Array, HashMap, MapData};
use lb_common::{
    tables::Found,
    wire::{Labels, NameEntry, Resolver, fingerprint},
};
use std::path::Path;

/// `NAMES` and `RESOLVER`.
pub struct KernelNames {
    names: HashMap<MapData, Wire<Labels>, Wire<NameEntry>>,
    resolver: Array<MapData, Wire<Resolver>>,
    capacity: u32,
}

impl KernelNames {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            names: open(maps, "NAMES")?,
            resolver: open(maps, "RESOLVER")?,
            capacity: entries(maps, "NAMES")?,
        })
    }

    /// All entries there are.
    pub fn list(&self) -> Result<Vec<(Labels, NameEntry)>, StoreError> {
        let entries = self.names.iter().map(|entry| {
            let (Wire(key), Wire(entry)) = entry.map_err(refused("names", READING))?;
            Ok((key, entry))
        });
        entries.collect()
    }

    /// What a name stands for, as the program reads it.
    pub fn find(&self, key: &Labels) -> Result<Found<NameEntry>, StoreError> {
        let look = || match self.names.get(&Wire(*key), 0) {
            Ok(Wire(entry)) => Ok(Some(entry)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("names", READING)(error)),
        };
        whole(look, fingerprint(key))
    }

    /// Says what a name stands for.
    pub fn put(&mut self, key: &Labels, entry: &NameEntry) -> Result<(), StoreError> {
        let written = self.names.insert(&Wire(*key), &Wire(*entry), 0);
        written.map_err(write_error("frontends", self.capacity))
    }

    /// Takes a name away.
    pub fn remove(&mut self, key: &Labels) -> Result<(), StoreError> {
        absent_is_fine(self.names.remove(&Wire(*key))).map_err(refused("names", REMOVING))
    }

    /// Where the kernel is asked.
    pub fn resolver(&self) -> Result<Resolver, StoreError> {
        let Wire(resolver) = self
            .resolver
            .get(&0, 0)
            .map_err(refused("resolver", READING))?;
        Ok(resolver)
    }

    /// Says where the kernel is asked.
    pub fn put_resolver(&mut self, resolver: &Resolver) -> Result<(), StoreError> {
        let written = self.resolver.set(0, &Wire(*resolver), 0);
        written.map_err(refused("resolver", WRITING))
    }
}
