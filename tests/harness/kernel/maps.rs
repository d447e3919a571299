// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's maps under the types of `lb_common::wire`.

use crate::tables::{Entries, Flows, Pair};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, Map, MapData, MapError, Queue},
};
use lb_common::{
    family::Family,
    wire::{
        Affinity, Expiry, Flow, Foreign, Fragment, FragmentKey, FrontendKey, Reverse, Service,
        Tuple,
    },
};
use lb_userspace::maps::pod::Wire;
use std::collections::{BTreeMap, VecDeque};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A hash of wire types.
struct Table<K, V>(HashMap<MapData, Wire<K>, Wire<V>>);

/// The maps of one family.
pub struct FamilyMaps<F: Family> {
    frontends: Table<FrontendKey<F::Address>, Service>,
    established: PairMaps<F>,
    half_open: PairMaps<F>,
    affinities: Table<Tuple<F::Address>, Affinity>,
    foreigns: Table<Tuple<F::Address>, Foreign>,
    fragments: Table<FragmentKey<F::Address>, Fragment>,
    expiries: Queue<MapData, Wire<Expiry<F::Address>>>,
}

/// A table of flows, and the way back into it.
struct PairMaps<F: Family> {
    flows: Table<Tuple<F::Address>, Flow>,
    reverse: Table<Tuple<F::Address>, Reverse>,
}

impl<F: Family> FamilyMaps<F> {
    /// Takes the maps with this ending out of a loaded object.
    pub(super) fn take(ebpf: &mut Ebpf, ending: &str) -> Result<Self> {
        Ok(Self {
            frontends: Table::take(ebpf, "FRONTENDS", ending)?,
            established: PairMaps {
                flows: Table::take(ebpf, "FLOWS", ending)?,
                reverse: Table::take(ebpf, "REVERSE", ending)?,
            },
            half_open: PairMaps {
                flows: Table::take(ebpf, "HALF_OPEN", ending)?,
                reverse: Table::take(ebpf, "HALF_REVERSE", ending)?,
            },
            affinities: Table::take(ebpf, "AFFINITY", ending)?,
            foreigns: Table::take(ebpf, "FOREIGN", ending)?,
            fragments: Table::take(ebpf, "FRAGMENTS", ending)?,
            expiries: map(ebpf, &format!("EXPIRY_{ending}"))?.try_into()?,
        })
    }

    /// Writes a frontend.
    pub fn put_frontend(&mut self, key: &FrontendKey<F::Address>, to: &Service) -> Result<()> {
        self.frontends.put(key, to)
    }

    /// Takes a frontend away.
    pub fn remove_frontend(&mut self, key: &FrontendKey<F::Address>) -> Result<()> {
        self.frontends.remove(key)
    }

    /// Conntrack as it is.
    pub fn flows(&self) -> Result<Flows<F>> {
        Ok(Flows {
            established: self.established.pair()?,
            half_open: self.half_open.pair()?,
        })
    }

    /// How many established flows there are.
    pub fn established(&self) -> usize {
        self.established.flows.0.keys().count()
    }

    /// Affinities as they are.
    pub fn affinities(&self) -> Result<BTreeMap<Tuple<F::Address>, Affinity>> {
        self.affinities.all()
    }

    /// Flows of conntrack's as they are.
    pub fn foreigns(&self) -> Result<BTreeMap<Tuple<F::Address>, Foreign>> {
        self.foreigns.all()
    }

    /// What first fragments have taught.
    pub fn fragments(&self) -> Result<BTreeMap<FragmentKey<F::Address>, Fragment>> {
        self.fragments.all()
    }

    /// The queue in which they wait for the sweep; nothing else may use it meanwhile.
    pub fn expiries(&mut self) -> Result<VecDeque<Expiry<F::Address>>> {
        let mut entries = VecDeque::new();
        loop {
            match self.expiries.pop(0) {
                Ok(Wire(entry)) => entries.push_back(entry),
                Err(MapError::ElementNotFound) => break,
                Err(error) => return Err(error.into()),
            }
        }
        for entry in &entries {
            self.expiries.push(&Wire(*entry), 0)?;
        }
        Ok(entries)
    }

    /// Makes the frontends equal to those given.
    pub(super) fn copy_frontends(&mut self, entries: &Entries<F>) -> Result<()> {
        self.frontends.copy_from(&entries.frontends)
    }

    /// Makes conntrack and its queue equal to those given.
    pub(super) fn copy_flows(&mut self, entries: &Entries<F>) -> Result<()> {
        self.established.copy_from(&entries.flows.established)?;
        self.half_open.copy_from(&entries.flows.half_open)?;
        self.affinities.copy_from(&entries.affinities)?;
        self.foreigns.copy_from(&entries.foreigns)?;
        self.fragments.copy_from(&entries.fragments)?;
        while self.expiries.pop(0).is_ok() {}
        let mut entries = entries.expiries.iter();
        entries.try_for_each(|entry| Ok(self.expiries.push(&Wire(*entry), 0)?))
    }
}

impl<F: Family> PairMaps<F> {
    fn copy_from(&mut self, pair: &Pair<F>) -> Result<()> {
        self.flows.copy_from(&pair.flows)?;
        self.reverse.copy_from(&pair.reverse)
    }

    fn pair(&self) -> Result<Pair<F>> {
        Ok(Pair {
            flows: self.flows.all()?,
            reverse: self.reverse.all()?,
        })
    }
}

impl<K, V> Table<K, V>
where
    K: FromBytes + IntoBytes + Immutable + Copy + Ord + 'static,
    V: FromBytes + IntoBytes + Immutable + Copy + 'static,
{
    fn take(ebpf: &mut Ebpf, name: &str, ending: &str) -> Result<Self> {
        Ok(Self(map(ebpf, &format!("{name}_{ending}"))?.try_into()?))
    }

    fn put(&mut self, key: &K, value: &V) -> Result<()> {
        Ok(self.0.insert(&Wire(*key), &Wire(*value), 0)?)
    }

    fn remove(&mut self, key: &K) -> Result<()> {
        match self.0.remove(&Wire(*key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn all(&self) -> Result<BTreeMap<K, V>> {
        let entries = self.0.iter();
        entries
            .map(|entry| {
                entry
                    .map(|(Wire(key), Wire(value))| (key, value))
                    .map_err(Into::into)
            })
            .collect()
    }

    fn clear(&mut self) -> Result<()> {
        let keys: Vec<_> = self.0.keys().collect::<Result<_, _>>()?;
        keys.iter().try_for_each(|Wire(key)| self.remove(key))
    }

    fn copy_from(&mut self, entries: &BTreeMap<K, V>) -> Result<()> {
        self.clear()?;
        entries
            .iter()
            .try_for_each(|(key, value)| self.put(key, value))
    }
}

/// Takes a map out of a loaded object.
pub(super) fn map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("the object has no map {name}"))
}

/// Takes an array out of a loaded object.
pub(super) fn array<V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<Array<MapData, V>> {
    Ok(map(ebpf, name)?.try_into()?)
}
