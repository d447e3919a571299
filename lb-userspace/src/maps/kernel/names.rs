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
    wire::{Labels, NameEntry, Resolver, ShortLabels},
};
use std::path::Path;

/// `NAMES`, `LONG_NAMES` and `RESOLVER`.
pub struct KernelNames {
    short: HashMap<MapData, Wire<ShortLabels>, Wire<NameEntry>>,
    long: HashMap<MapData, Wire<Labels>, Wire<NameEntry>>,
    resolver: Array<MapData, Wire<Resolver>>,
    capacity: u32,
}

impl KernelNames {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            short: open(maps, "NAMES")?,
            long: open(maps, "LONG_NAMES")?,
            resolver: open(maps, "RESOLVER")?,
            capacity: entries(maps, "NAMES")?,
        })
    }

    /// All entries there are.
    pub fn list(&self) -> Result<Vec<(Labels, NameEntry)>, StoreError> {
        let short = self.short.iter().map(|entry| {
            let (Wire(key), Wire(entry)) = entry.map_err(refused("names", READING))?;
            Ok((Labels::of_short(&key), entry))
        });
        let long = self.long.iter().map(|entry| {
            let (Wire(key), Wire(entry)) = entry.map_err(refused("names", READING))?;
            Ok((key, entry))
        });
        short.chain(long).collect()
    }

    /// What a name stands for, as the program reads it.
    pub fn find(&self, key: &Labels) -> Result<Found<NameEntry>, StoreError> {
        let get = || match key.short() {
            Some(short) => self.short.get(&Wire(*short), 0),
            None => self.long.get(&Wire(*key), 0),
        };
        let look = || match get() {
            Ok(Wire(entry)) => Ok(Some(entry)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("names", READING)(error)),
        };
        whole(look, key.identity())
    }

    /// Says what a name stands for.
    pub fn put(&mut self, key: &Labels, entry: &NameEntry) -> Result<(), StoreError> {
        let written = match key.short() {
            Some(short) => self.short.insert(&Wire(*short), &Wire(*entry), 0),
            None => self.long.insert(&Wire(*key), &Wire(*entry), 0),
        };
        written.map_err(write_error("frontends", self.capacity))
    }

    /// Takes a name away.
    pub fn remove(&mut self, key: &Labels) -> Result<(), StoreError> {
        let removed = match key.short() {
            Some(short) => self.short.remove(&Wire(*short)),
            None => self.long.remove(&Wire(*key)),
        };
        absent_is_fine(removed).map_err(refused("names", REMOVING))
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
