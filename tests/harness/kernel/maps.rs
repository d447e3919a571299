// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's maps under the types of `lb_common::wire`.

use crate::tables::{Entries, Flows, Pair, fill::Standard};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, Queue, lpm_trie::Key},
};
use ipnet::IpNet;
use lb_common::{
    ends::{End, spot},
    family::{Family, V4},
    wire::{
        Admitted, Affinity, Expiry, Flow, Foreign, Fragment, FragmentKey, FrontendKey, Mask,
        PAGE_SPOTS, Page, Reverse, Service, Tuple,
    },
};
use lb_userspace::maps::pod::Wire;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A hash of wire types.
struct Table<K, V>(HashMap<MapData, Wire<K>, Wire<V>>);

/// The maps of one family.
pub struct FamilyMaps<F: Family> {
    frontends: Table<FrontendKey<F::Address>, Service>,
    admitted: LpmTrie<MapData, Wire<Admitted<F::Address>>, u32>,
    established: PairMaps<F>,
    half_open: PairMaps<F>,
    affinities: Table<Tuple<F::Address>, Affinity>,
    foreigns: Table<Tuple<F::Address>, Foreign>,
    masks: Table<Tuple<F::Address>, Mask>,
    nodes: Table<F::Address, u32>,
    fragments: Table<FragmentKey<F::Address>, Fragment>,
    expiries: Queue<MapData, Wire<Expiry<F::Address>>>,
    ends: Array<MapData, Wire<Page>>,
    addresses: Array<MapData, Wire<Page>>,
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
            admitted: map(ebpf, &format!("ADMITTED_{ending}"))?.try_into()?,
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
            masks: Table::take(ebpf, "MASKS", ending)?,
            nodes: Table::take(ebpf, "NODES", ending)?,
            fragments: Table::take(ebpf, "FRAGMENTS", ending)?,
            expiries: map(ebpf, &format!("EXPIRY_{ending}"))?.try_into()?,
            ends: map(ebpf, &format!("ENDS_{ending}"))?.try_into()?,
            addresses: map(ebpf, &format!("ADDRESSES_{ending}"))?.try_into()?,
        })
    }

    /// Writes a frontend.
    pub fn put_frontend(&mut self, key: &FrontendKey<F::Address>, to: &Service) -> Result<()> {
        leave_trace::<F>(&mut self.addresses, End::Service, &key.address)?;
        self.frontends.put(key, to)
    }

    /// Leaves the trace of a Service's address, also where the Service has no frontend.
    pub(super) fn trace_service(&mut self, address: &F::Address) -> Result<()> {
        leave_trace::<F>(&mut self.addresses, End::Service, address)
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

    /// Who is shown to backends as this node.
    pub fn masks(&self) -> Result<BTreeMap<Tuple<F::Address>, Mask>> {
        self.masks.all()
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

    /// Makes frontends and nodes equal to those given.
    pub(super) fn copy_frontends(&mut self, entries: &Entries<F>) -> Result<()> {
        for (key, service) in &entries.frontends {
            leave_trace::<F>(&mut self.addresses, End::Service, &key.address)?;
            if service.flags & (Service::IPIP | Service::GENEVE) != 0 {
                leave_trace::<F>(&mut self.addresses, End::Tunnelled, &key.address)?;
            }
        }
        let nodes = entries.nodes.iter().map(|address| (*address, 1));
        self.nodes.copy_from(&nodes.collect())?;
        self.frontends.copy_from(&entries.frontends)
    }

    /// Makes who may dial what equal to those given.
    pub(super) fn copy_admitted(&mut self, ranges: &BTreeSet<(u32, IpNet)>) -> Result<()>
    where
        F: Standard,
    {
        let known: Vec<_> = self.admitted.keys().collect::<Result<_, _>>()?;
        for key in known {
            self.admitted.remove(&key)?;
        }
        let is_v4 = F::ETHERTYPE == V4::ETHERTYPE;
        for (id, range) in ranges.iter().filter(|(_, it)| it.addr().is_ipv4() == is_v4) {
            let admitted = Admitted {
                service_id: id.to_be_bytes(),
                address: F::octets(range.addr()),
            };
            let bits = 32 + u32::from(range.prefix_len());
            self.admitted
                .insert(&Key::new(bits, Wire(admitted)), &1, 0)?;
        }
        Ok(())
    }

    /// Makes conntrack and its queue equal to those given.
    pub(super) fn copy_flows(&mut self, entries: &Entries<F>) -> Result<()> {
        for pair in [&entries.flows.established, &entries.flows.half_open] {
            for key in pair.flows.keys() {
                leave_trace::<F>(&mut self.ends, End::Dialled, &key.destination)?;
            }
            for key in pair.reverse.keys() {
                leave_trace::<F>(&mut self.ends, End::Serving, &key.source)?;
            }
        }
        self.established.copy_from(&entries.flows.established)?;
        self.half_open.copy_from(&entries.flows.half_open)?;
        self.affinities.copy_from(&entries.affinities)?;
        self.foreigns.copy_from(&entries.foreigns)?;
        for (key, _) in entries
            .masks
            .iter()
            .filter(|(_, mask)| mask.end == Mask::SOURCE)
        {
            leave_trace::<F>(&mut self.ends, End::Behind, &key.destination)?;
        }
        self.masks.copy_from(&entries.masks)?;
        self.fragments.copy_from(&entries.fragments)?;
        while self.expiries.pop(0).is_ok() {}
        let mut entries = entries.expiries.iter();
        entries.try_for_each(|entry| Ok(self.expiries.push(&Wire(*entry), 0)?))
    }
}

/// Leaves the trace of an address, as the agent and packets do.
fn leave_trace<F: Family>(
    traces: &mut Array<MapData, Wire<Page>>,
    end: End,
    address: &F::Address,
) -> Result<()> {
    let spot = spot::<F>(end, address);
    let Wire(mut page) = traces.get(&(spot / PAGE_SPOTS), 0)?;
    page.spots[usize::try_from(spot % PAGE_SPOTS)?] = 1;
    Ok(traces.set(spot / PAGE_SPOTS, &Wire(page), 0)?)
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

/// Pins every map of ours. Those of the compiler's have dots in their names, which bpffs refuses.
pub(super) fn pin(ebpf: &Ebpf, pins: &Path) -> Result<()> {
    for (name, map) in ebpf.maps().filter(|(name, _)| !name.contains('.')) {
        let pinned = map.pin(pins.join(name));
        pinned.with_context(|| format!("pinning {name}"))?;
    }
    Ok(())
}
