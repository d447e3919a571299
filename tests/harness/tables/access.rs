// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables as the packet path reaches them.

use super::{Holds, Memory};
use lb_common::{
    ends::{self, End},
    family::{Family, V4},
    tables::{Environment, Found, InsertError, Side, Stage, Tables, Torn, Touch, Word},
    wire::{
        Affinity, Backend, BackendState, CHUNK_SLOTS, Expiry, Flow, Foreign, Fragment, FragmentKey,
        FrontendKey, Labels, Mask, NameEntry, Node, PathMtu, Range, Resolver, Reverse, Sealed,
        Service, Tunnelled, Tuple, Uplink, fingerprint,
    },
};
use std::{collections::BTreeMap, net::IpAddr, ops::Deref};

impl Environment for Memory {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn node(&self) -> impl Deref<Target = Node> + use<> {
        Box::new(self.node)
    }

    fn is_pod_link(&self, ifindex: u32) -> bool {
        self.pod_links.contains(&ifindex)
    }

    fn is_uplink(&self, ifindex: u32) -> bool {
        self.uplinks.contains_key(&ifindex)
    }

    fn take_turn(&mut self) -> u64 {
        let turn = self.turn;
        self.turn += 1;
        turn
    }

    fn uplink(&self, ifindex: u32, into: &mut Uplink) -> Found<()> {
        let found = whole(self.uplinks.get(&ifindex), fingerprint(&ifindex))?;
        Ok(found.map(|uplink| *into = uplink))
    }

    fn resolver(&self) -> Option<impl Deref<Target = Resolver> + use<>> {
        Some(Box::new(self.resolver))
    }

    fn resolver_whole(&self, into: &mut Resolver) -> bool {
        *into = self.resolver;
        into.intact(Resolver::IDENTITY)
    }

    fn name(&self, key: &Labels, into: &mut NameEntry) -> Found<()> {
        let found = whole(self.names.get(key), key.identity())?;
        Ok(found.map(|entry| *into = entry))
    }

    fn account(&self, word: Word) -> u64 {
        match word {
            Word::PaidUntil => self.account.paid_until_ns,
            Word::Owed => self.account.owed,
        }
    }

    fn settle(&mut self, word: Word, from: u64, to: u64) -> bool {
        let place = match word {
            Word::PaidUntil => &mut self.account.paid_until_ns,
            Word::Owed => &mut self.account.owed,
        };
        let is_as_read = *place == from;
        if is_as_read {
            *place = to;
        }
        is_as_read
    }
}

impl<F: Family> Tables<F> for Memory
where
    Self: Holds<F>,
{
    type Place = Tuple<F::Address>;

    fn service(&self, key: &FrontendKey<F::Address>) -> Found<Service> {
        whole(self.entries().frontends.get(key), fingerprint(key))
    }

    fn admits(&self, service_id: u32, client: &F::Address) -> bool {
        let [a, b, c, d, ..] = F::widen(*client);
        let client = if F::ETHERTYPE == V4::ETHERTYPE {
            IpAddr::from([a, b, c, d])
        } else {
            IpAddr::from(F::widen(*client))
        };
        let mut ranges = self.admitted.iter();
        ranges.any(|(id, range)| *id == service_id && range.contains(&client))
    }

    fn range(&self) -> Range {
        let [v4, v6] = self.ranges;
        if F::ETHERTYPE == V4::ETHERTYPE {
            v4
        } else {
            v6
        }
    }

    fn slot(&self, first_chunk: u32, slot: u32) -> Option<u32> {
        let chunk = self.chunks.get(&(first_chunk + slot / CHUNK_SLOTS))?;
        let index = usize::try_from(slot % CHUNK_SLOTS).ok()?;
        chunk.backends.get(index).map(|slot| slot.id())
    }

    fn backend(&self, id: u32) -> Found<Backend> {
        // An id that is free says so, whatever else there stands.
        let is_used = |backend: &&Backend| backend.state != BackendState::Free.byte();
        let used = self.backends.get(&id).filter(is_used);
        whole(used, u64::from(id))
    }

    fn flow(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Flow) -> Found<Self::Place> {
        let table = &self.entries().flows.stage(stage).flows;
        let found = whole(table.get(key), fingerprint(key))?;
        Ok(found.map(|flow| {
            *into = flow;
            *key
        }))
    }

    fn insert_flow(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        flow: &Flow,
    ) -> Result<(), InsertError> {
        let capacity = self.capacity(stage);
        let soonest = |flow: &Flow| flow.expires_ns;
        insert(
            &mut self.entries_mut().flows.stage_mut(stage).flows,
            stage,
            capacity,
            *key,
            *flow,
            soonest,
        )
    }

    fn touch(&mut self, stage: Stage, key: Self::Place, flow: &Flow, side: Side, touch: &Touch) {
        let Some(found) = self
            .entries_mut()
            .flows
            .stage_mut(stage)
            .flows
            .get_mut(&key)
        else {
            return;
        };
        if found.born_ns != flow.born_ns {
            return;
        }
        found.expires_ns = touch.expires_ns;
        let (seen, progress) = match side {
            Side::Client => (&mut found.client_seen, &mut found.client_progress),
            Side::Backend => (&mut found.backend_seen, &mut found.backend_progress),
        };
        (*seen, *progress) = (touch.seen, touch.progress);
    }

    fn remove_flow(&mut self, stage: Stage, key: &Tuple<F::Address>) {
        self.entries_mut().flows.stage_mut(stage).flows.remove(key);
    }

    fn reverse(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Reverse) -> Found<()> {
        let table = &self.entries().flows.stage(stage).reverse;
        let found = whole(table.get(key), fingerprint(key))?;
        Ok(found.map(|reverse| *into = reverse))
    }

    fn insert_reverse(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        reverse: &Reverse,
    ) -> Result<(), InsertError> {
        let capacity = self.capacity(stage);
        let oldest = |reverse: &Reverse| reverse.born_ns;
        let table = &mut self.entries_mut().flows.stage_mut(stage).reverse;
        insert(table, stage, capacity, *key, *reverse, oldest)
    }

    fn remove_reverse(&mut self, stage: Stage, key: &Tuple<F::Address>) {
        self.entries_mut()
            .flows
            .stage_mut(stage)
            .reverse
            .remove(key);
    }

    fn affinity(&self, key: &Tuple<F::Address>, into: &mut Affinity) -> Found<()> {
        let found = whole(self.entries().affinities.get(key), fingerprint(key))?;
        Ok(found.map(|affinity| *into = affinity))
    }

    fn insert_affinity(
        &mut self,
        key: &Tuple<F::Address>,
        affinity: &Affinity,
    ) -> Result<(), InsertError> {
        let capacity = self.affinity_capacity;
        let table = &mut self.entries_mut().affinities;
        insert(table, Stage::Established, capacity, *key, *affinity, |_| 0)
    }

    fn replace_affinity(&mut self, key: &Tuple<F::Address>, affinity: &Affinity) -> bool {
        let known = self.entries_mut().affinities.get_mut(key);
        known.map(|known| *known = *affinity).is_some()
    }

    fn remove_affinity(&mut self, key: &Tuple<F::Address>) {
        self.entries_mut().affinities.remove(key);
    }

    fn fragment(&self, key: &FragmentKey<F::Address>, into: &mut Fragment) -> Found<()> {
        let found = whole(self.entries().fragments.get(key), fingerprint(key))?;
        Ok(found.map(|fragment| *into = fragment))
    }

    fn learn_fragment(&mut self, key: &FragmentKey<F::Address>, fragment: &Fragment) {
        self.entries_mut().fragments.insert(*key, *fragment);
    }

    fn forget_fragment(&mut self, key: &FragmentKey<F::Address>) {
        self.entries_mut().fragments.remove(key);
    }

    fn has_trace(&self, end: End, spot: u32) -> bool {
        // Of others it is enough that they may be there; these are at few addresses.
        let entries = self.entries();
        let wants = |service: &Service| service.flags & (Service::IPIP | Service::GENEVE) != 0;
        let frontends = entries.frontends.iter();
        let wanted = frontends.filter(|(_, service)| wants(service));
        let wanted = wanted.map(|(key, _)| key.address);
        let known = entries.tunnelled.keys().map(|key| key.destination);
        let mut addresses = wanted.chain(known);
        end != End::Tunnelled || addresses.any(|address| ends::spot::<F>(end, &address) == spot)
    }

    fn tunnelled(&self, key: &Tuple<F::Address>, into: &mut Tunnelled) -> Found<()> {
        let found = whole(self.entries().tunnelled.get(key), fingerprint(key))?;
        Ok(found.map(|tunnelled| *into = tunnelled))
    }

    fn put_tunnelled(&mut self, key: &Tuple<F::Address>, tunnelled: &Tunnelled) {
        self.entries_mut().tunnelled.insert(*key, *tunnelled);
    }

    fn remove_tunnelled(&mut self, key: &Tuple<F::Address>) {
        self.entries_mut().tunnelled.remove(key);
    }

    fn path(&self, backend: &F::Address, into: &mut PathMtu) -> Found<()> {
        let found = whole(self.entries().paths.get(backend), fingerprint(backend))?;
        Ok(found.map(|path| *into = path))
    }

    fn put_path(&mut self, backend: &F::Address, path: &PathMtu) {
        self.entries_mut().paths.insert(*backend, *path);
    }

    fn is_node(&self, address: &F::Address) -> bool {
        self.entries().nodes.contains(address)
    }

    fn mask(&self, key: &Tuple<F::Address>, into: &mut Mask) -> Found<()> {
        let found = whole(self.entries().masks.get(key), fingerprint(key))?;
        Ok(found.map(|mask| *into = mask))
    }

    fn insert_mask(&mut self, key: &Tuple<F::Address>, mask: &Mask) -> Result<(), InsertError> {
        let capacity = self.mask_capacity.saturating_mul(2);
        let table = &mut self.entries_mut().masks;
        insert(table, Stage::Established, capacity, *key, *mask, |_| 0)
    }

    fn remember_onwards(&mut self, key: &Tuple<F::Address>, mask: &Mask) {
        if let Some(there) = self.entries_mut().masks.get_mut(key)
            && there.born_ns == mask.born_ns
        {
            there.onwards = mask.onwards;
        }
    }

    fn remove_mask(&mut self, key: &Tuple<F::Address>) {
        self.entries_mut().masks.remove(key);
    }

    fn foreign(&self, key: &Tuple<F::Address>, into: &mut Foreign) -> Found<()> {
        let found = whole(self.entries().foreigns.get(key), fingerprint(key))?;
        Ok(found.map(|foreign| *into = foreign))
    }

    fn put_foreign(&mut self, key: &Tuple<F::Address>, foreign: &Foreign) -> bool {
        let capacity = self.foreign_capacity;
        let table = &mut self.entries_mut().foreigns;
        let has_room = table.contains_key(key) || table.len() < capacity;
        if has_room {
            table.insert(*key, *foreign);
        }
        has_room
    }

    fn remove_foreign(&mut self, key: &Tuple<F::Address>) {
        self.entries_mut().foreigns.remove(key);
    }

    fn add_expiry(&mut self, entry: &Expiry<F::Address>) -> bool {
        let flows = self.flow_capacity.saturating_mul(2);
        let others = self.affinity_capacity.saturating_add(self.mask_capacity);
        let capacity = flows.saturating_add(others);
        let queue = &mut self.entries_mut().expiries;
        let has_room = queue.len() < capacity;
        if has_room {
            queue.push_back(*entry);
        }
        has_room
    }

    fn take_expiry(&mut self, into: &mut Expiry<F::Address>) -> bool {
        let entry = self.entries_mut().expiries.pop_front();
        entry.map(|entry| *into = entry).is_some()
    }
}

/// A value that shows the identity it should have. Memory does not change while it is read, so the
/// second lookup, which the kernel's adapter makes, would find the same.
fn whole<T: Sealed>(value: Option<&T>, identity: u64) -> Found<T> {
    match value {
        None => Ok(None),
        Some(value) if value.intact(identity) => Ok(Some(*value)),
        Some(_) => Err(Torn),
    }
}

/// Inserts where nothing is. A full established table refuses; a full half-open one, which is an
/// LRU in the kernel, loses the entry with the smallest `age` (a stand-in: the kernel's choice
/// depends on the CPU and cannot be foretold).
fn insert<K: Ord + Copy, V>(
    table: &mut BTreeMap<K, V>,
    stage: Stage,
    capacity: usize,
    key: K,
    value: V,
    age: impl Fn(&V) -> u64,
) -> Result<(), InsertError> {
    if table.contains_key(&key) {
        return Err(InsertError::Taken);
    }
    if table.len() >= capacity {
        let oldest = table
            .iter()
            .min_by_key(|(_, value)| age(value))
            .map(|(key, _)| *key);
        match (stage, oldest) {
            (Stage::HalfOpen, Some(oldest)) => table.remove(&oldest),
            (Stage::HalfOpen, None) | (Stage::Established, _) => return Err(InsertError::Full),
        };
    }
    table.insert(key, value);
    Ok(())
}
