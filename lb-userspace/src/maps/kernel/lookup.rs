// SPDX-License-Identifier: MIT OR Apache-2.0
//! The maps as a packet meets them: one value for one key. Nothing is written.

use super::{OpenError, READING, admitted::Ranges, entries, flows::count, open, refused};
use crate::maps::{StoreError, pod::Wire};
use aya::{
    Pod,
    maps::{Array, HashMap, MapData, MapError},
};
use lb_common::{
    family::{Family, V4, V6},
    tables::{Found, Stage, Torn},
    wire::{
        Account, Affinity, Backend, BackendState, CHUNK_SLOTS, Chunk, Flow, Foreign, FrontendKey,
        Mask, Reverse, Sealed, Service, Tuple, fingerprint,
    },
};
use std::path::Path;
use zerocopy::{Immutable, IntoBytes};

/// Maps of Services and flows; settings are in [`super::KernelStore`].
pub struct KernelTables {
    /// What there is for IPv4.
    pub v4: FamilyTables<V4>,
    /// What there is for IPv6.
    pub v6: FamilyTables<V6>,
    backends: Array<MapData, Wire<Backend>>,
    slots: Array<MapData, Wire<Chunk>>,
    account: Array<MapData, Wire<Account>>,
}

/// The maps of one family.
pub struct FamilyTables<F: Family> {
    /// `FRONTENDS`.
    pub frontends: Table<FrontendKey<F::Address>, Service>,
    /// `ADMITTED`.
    pub(crate) admitted: Ranges<F>,
    /// `AFFINITY`.
    pub affinities: Table<Tuple<F::Address>, Affinity>,
    /// `FOREIGN`.
    pub foreigns: Table<Tuple<F::Address>, Foreign>,
    /// `MASKS`.
    pub masks: Table<Tuple<F::Address>, Mask>,
    flows: Table<Tuple<F::Address>, Flow>,
    reverses: Table<Tuple<F::Address>, Reverse>,
    half_opens: Table<Tuple<F::Address>, Flow>,
    half_reverses: Table<Tuple<F::Address>, Reverse>,
}

/// A hash whose values show whose they are.
pub struct Table<K, V> {
    name: &'static str,
    map: HashMap<MapData, Wire<K>, Wire<V>>,
    capacity: u32,
}

impl KernelTables {
    /// Opens the maps pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            v4: FamilyTables::open(maps, "V4")?,
            v6: FamilyTables::open(maps, "V6")?,
            backends: open(maps, "BACKENDS")?,
            slots: open(maps, "SLOTS")?,
            account: open(maps, "ACCOUNT")?,
        })
    }

    /// What the node's own answers have cost.
    pub fn account(&self) -> Result<Account, StoreError> {
        let account = self.account.get(&0, 0);
        let Wire(account) = account.map_err(refused("account", READING))?;
        Ok(account)
    }

    /// The backend id in a slot of the table that begins at a chunk.
    pub fn slot(&self, first_chunk: u32, slot: u32) -> Result<Option<u32>, StoreError> {
        let chunk = first_chunk.wrapping_add(slot / CHUNK_SLOTS);
        let index = usize::try_from(slot % CHUNK_SLOTS).unwrap_or(usize::MAX);
        let Wire(chunk) = match self.slots.get(&chunk, 0) {
            Ok(chunk) => chunk,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(refused("slots", READING)(error)),
        };
        Ok(chunk.backends.get(index).map(|slot| slot.id()))
    }

    /// The backend with an id; free ids are `None`.
    pub fn backend(&self, id: u32) -> Result<Found<Backend>, StoreError> {
        let look = || match self.backends.get(&id, 0) {
            // An id that is free says so, whatever else there stands.
            Ok(Wire(free)) if free.state == BackendState::Free.byte() => Ok(None),
            Ok(Wire(backend)) => Ok(Some(backend)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused("backends", READING)(error)),
        };
        whole(look, u64::from(id))
    }
}

impl<F: Family> FamilyTables<F> {
    fn open(maps: &Path, ending: &str) -> Result<Self, OpenError> {
        Ok(Self {
            frontends: Table::open(maps, "FRONTENDS", ending)?,
            admitted: Ranges::open(maps, &format!("ADMITTED_{ending}"))?,
            affinities: Table::open(maps, "AFFINITY", ending)?,
            foreigns: Table::open(maps, "FOREIGN", ending)?,
            masks: Table::open(maps, "MASKS", ending)?,
            flows: Table::open(maps, "FLOWS", ending)?,
            reverses: Table::open(maps, "REVERSE", ending)?,
            half_opens: Table::open(maps, "HALF_OPEN", ending)?,
            half_reverses: Table::open(maps, "HALF_REVERSE", ending)?,
        })
    }

    /// The flows of a stage, by what the client sends.
    pub fn flows(&self, stage: Stage) -> &Table<Tuple<F::Address>, Flow> {
        match stage {
            Stage::Established => &self.flows,
            Stage::HalfOpen => &self.half_opens,
        }
    }

    /// The flows of a stage, by what the backend sends.
    pub fn reverses(&self, stage: Stage) -> &Table<Tuple<F::Address>, Reverse> {
        match stage {
            Stage::Established => &self.reverses,
            Stage::HalfOpen => &self.half_reverses,
        }
    }
}

impl<K, V> Table<K, V>
where
    K: IntoBytes + Immutable + Copy,
    V: Sealed + Copy,
    Wire<K>: Pod,
    Wire<V>: Pod,
{
    fn open(maps: &Path, name: &'static str, ending: &str) -> Result<Self, OpenError> {
        let pin = format!("{name}_{ending}");
        Ok(Self {
            name,
            map: open(maps, &pin)?,
            capacity: entries(maps, &pin)?,
        })
    }

    /// The value of a key.
    pub fn find(&self, key: &K) -> Result<Found<V>, StoreError> {
        whole(|| self.look(key), fingerprint(key))
    }

    /// Whether there is any value for a key, whole or not.
    pub fn has(&self, key: &K) -> Result<bool, StoreError> {
        Ok(self.look(key)?.is_some())
    }

    /// How many more entries there is room for. Takes a system call for each that is there.
    pub fn room(&self) -> Result<u32, StoreError> {
        let entries = count(&self.map, self.capacity)?;
        Ok(self.capacity.saturating_sub(entries))
    }

    fn look(&self, key: &K) -> Result<Option<V>, StoreError> {
        match self.map.get(&Wire(*key), 0) {
            Ok(Wire(value)) => Ok(Some(value)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(refused(self.name, READING)(error)),
        }
    }
}

/// As the programs read it: what is not whole is looked up once more.
pub(super) fn whole<V: Sealed>(
    look: impl Fn() -> Result<Option<V>, StoreError>,
    identity: u64,
) -> Result<Found<V>, StoreError> {
    for _try in 0..2 {
        match look()? {
            None => return Ok(Ok(None)),
            Some(value) if value.intact(identity) => return Ok(Ok(Some(value))),
            Some(_) => {}
        }
    }
    Ok(Err(Torn))
}

pub(super) fn is_absent(error: &MapError) -> bool {
    matches!(
        error,
        MapError::KeyNotFound | MapError::ElementNotFound | MapError::OutOfBounds { .. }
    )
}
