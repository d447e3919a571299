// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet path's tables in plain memory: clock, settings and capacities are what the test says.
//!
//! They behave as the kernel's adapter does: an entry is never replaced by an insert, a touch
//! writes in place, a value that does not carry its key's identity reads as torn. Nothing here ends
//! by itself: [`Memory::sweep`] does what the kernel's timer does. [`fill`] puts Services and
//! backends in.

pub mod fill;
#[cfg(test)]
mod tests;

use lb_common::{
    expiry::{BATCH, visit},
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    tables::{Environment, Found, InsertError, Side, Stage, Tables, Torn, Touch},
    wire::{
        Affinity, Backend, BackendState, CHUNK_SLOTS, Chunk, Expiry, Flow, FrontendKey, Node,
        Reverse, Round, Sealed, Service, Tuple, fingerprint,
    },
};
use std::collections::{BTreeMap, VecDeque};

/// All tables of both families.
#[derive(Clone, Debug)]
pub struct Memory {
    /// What the clock says, in nanoseconds.
    pub now_ns: u64,
    /// The node's settings.
    pub node: Node,
    /// `COUNTER`: the last version or epoch given out.
    pub counter: u64,
    /// `SLOTS`.
    pub chunks: BTreeMap<u32, Chunk>,
    /// `BACKENDS`.
    pub backends: BTreeMap<u32, Backend>,
    /// Entries that each established table holds (flows, and as many reverse entries).
    pub flow_capacity: usize,
    /// Affinities that each family's table holds.
    pub affinity_capacity: usize,
    /// Entries that each half-open table holds.
    pub half_open_capacity: usize,
    /// What there is for IPv4.
    pub v4: Entries<V4>,
    /// What there is for IPv6.
    pub v6: Entries<V6>,
}

/// The tables of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<F: Family> {
    /// `FRONTENDS`.
    pub frontends: BTreeMap<FrontendKey<F::Address>, Service>,
    /// Conntrack.
    pub flows: Flows<F>,
    /// `AFFINITY`.
    pub affinities: BTreeMap<Tuple<F::Address>, Affinity>,
    /// `EXPIRY`: the queue in which established flows and affinities wait for the sweep.
    pub expiries: VecDeque<Expiry<F::Address>>,
}

/// Conntrack of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows<F: Family> {
    /// `FLOWS` and `REVERSE`.
    pub established: Pair<F>,
    /// `HALF_OPEN` and `HALF_REVERSE`.
    pub half_open: Pair<F>,
}

/// A table of flows, and the way back into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<F: Family> {
    /// By what the client sends.
    pub flows: BTreeMap<Tuple<F::Address>, Flow>,
    /// By what the backend sends.
    pub reverse: BTreeMap<Tuple<F::Address>, Reverse>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            // Not zero: a machine has been up for a while, and no test may rely on a zero.
            now_ns: 1_000_000_000_000,
            node: Node::default(),
            counter: 0,
            chunks: BTreeMap::new(),
            backends: BTreeMap::new(),
            flow_capacity: usize::MAX,
            affinity_capacity: usize::MAX,
            half_open_capacity: usize::MAX,
            v4: Entries::default(),
            v6: Entries::default(),
        }
    }
}

impl<F: Family> Default for Entries<F> {
    fn default() -> Self {
        Self {
            frontends: BTreeMap::new(),
            flows: Flows::default(),
            affinities: BTreeMap::new(),
            expiries: VecDeque::new(),
        }
    }
}

impl<F: Family> Default for Flows<F> {
    fn default() -> Self {
        Self {
            established: Pair::default(),
            half_open: Pair::default(),
        }
    }
}

impl<F: Family> Default for Pair<F> {
    fn default() -> Self {
        Self {
            flows: BTreeMap::new(),
            reverse: BTreeMap::new(),
        }
    }
}

impl<F: Family> Flows<F> {
    /// The tables of a stage.
    pub fn stage(&self, stage: Stage) -> &Pair<F> {
        match stage {
            Stage::HalfOpen => &self.half_open,
            Stage::Established => &self.established,
        }
    }

    /// The tables of a stage.
    pub fn stage_mut(&mut self, stage: Stage) -> &mut Pair<F> {
        match stage {
            Stage::HalfOpen => &mut self.half_open,
            Stage::Established => &mut self.established,
        }
    }
}

/// What holds the tables of a family.
pub trait Holds<F: Family> {
    /// The tables of the family.
    fn entries(&self) -> &Entries<F>;
    /// The tables of the family.
    fn entries_mut(&mut self) -> &mut Entries<F>;
}

impl Holds<V4> for Memory {
    fn entries(&self) -> &Entries<V4> {
        &self.v4
    }

    fn entries_mut(&mut self) -> &mut Entries<V4> {
        &mut self.v4
    }
}

impl Holds<V6> for Memory {
    fn entries(&self) -> &Entries<V6> {
        &self.v6
    }

    fn entries_mut(&mut self) -> &mut Entries<V6> {
        &mut self.v6
    }
}

impl Memory {
    /// One sweep, as the timer makes it: of IPv4, then of IPv6.
    pub fn sweep(&mut self) {
        let mut frames = Frames::new();
        self.sweep_family::<V4>(&mut frames.narrow);
        self.sweep_family::<V6>(&mut frames.wide);
    }

    fn sweep_family<F: Family>(&mut self, frame: &mut Frame<F::Address>)
    where
        Self: Holds<F>,
    {
        let mut round = Round::default();
        for _ in 0..BATCH {
            if visit::<F, _>(self, &mut round, frame).is_break() {
                break;
            }
        }
    }

    fn capacity(&self, stage: Stage) -> usize {
        match stage {
            Stage::HalfOpen => self.half_open_capacity,
            Stage::Established => self.flow_capacity,
        }
    }
}

impl Environment for Memory {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn node(&self) -> Node {
        self.node
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

    fn slot(&self, first_chunk: u32, slot: u32) -> Option<u32> {
        let chunk = self.chunks.get(&(first_chunk + slot / CHUNK_SLOTS))?;
        let index = usize::try_from(slot % CHUNK_SLOTS).ok()?;
        chunk.backends.get(index).copied()
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

    fn touch(&mut self, stage: Stage, key: Self::Place, flow: &Flow, touch: Touch) {
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
        match touch.side {
            Side::Client => found.client_seen = touch.seen,
            Side::Backend => found.backend_seen = touch.seen,
        }
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

    fn add_expiry(&mut self, entry: &Expiry<F::Address>) -> bool {
        let flows = self.flow_capacity.saturating_mul(2);
        let capacity = flows.saturating_add(self.affinity_capacity);
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
