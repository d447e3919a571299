// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet path's tables in plain memory: clock, settings and capacities are what the test says.
//!
//! They behave as the kernel's adapter does: an entry is never replaced by an insert, a touch
//! writes in place, a value that does not carry its key's identity reads as torn. Nothing here ends
//! by itself: [`Memory::sweep`] does what the kernel's timer does. [`fill`] puts Services and
//! backends in.

mod access;
pub mod fill;
#[cfg(test)]
mod tests;

use ipnet::IpNet;
use lb_common::{
    expiry::{BATCH, visit},
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    tables::Stage,
    wire::{
        Account, Affinity, Backend, Chunk, Expiry, Flow, Foreign, Fragment, FragmentKey,
        FrontendKey, Labels, Mask, NameEntry, Node, PathMtu, Range, Resolver, Reverse, Round,
        Service, Tunnelled, Tuple, Uplink,
    },
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All tables of both families.
#[derive(Clone, Debug)]
pub struct Memory {
    /// What the clock says, in nanoseconds.
    pub now_ns: u64,
    /// The node's settings.
    pub node: Node,
    /// `RANGES`, IPv4's and IPv6's.
    pub ranges: [Range; 2],
    /// `ADMITTED`, of both families: Services' numbers, and who may dial them.
    pub admitted: BTreeSet<(u32, IpNet)>,
    /// `POD_LINKS`.
    pub pod_links: BTreeSet<u32>,
    /// `UPLINKS`.
    pub uplinks: BTreeMap<u32, Uplink>,
    /// `RESOLVER`.
    pub resolver: Resolver,
    /// `NAMES`.
    pub names: BTreeMap<Labels, NameEntry>,
    /// `ACCOUNT`.
    pub account: Account,
    /// `COUNTER`: the last version or epoch given out.
    pub counter: u64,
    /// `TURN`: how many masquerades have been begun.
    pub turn: u64,
    /// `SLOTS`.
    pub chunks: BTreeMap<u32, Chunk>,
    /// `BACKENDS`.
    pub backends: BTreeMap<u32, Backend>,
    /// Entries that each established table holds (flows, and as many reverse entries).
    pub flow_capacity: usize,
    /// Affinities that each family's table holds.
    pub affinity_capacity: usize,
    /// Flows of conntrack's that each family's table holds.
    pub foreign_capacity: usize,
    /// Masquerades that each family's table holds, of two halves each.
    pub mask_capacity: usize,
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
    /// `FOREIGN`: flows of conntrack's.
    pub foreigns: BTreeMap<Tuple<F::Address>, Foreign>,
    /// `MASKS`: who is shown to backends as this node.
    pub masks: BTreeMap<Tuple<F::Address>, Mask>,
    /// `TUNNELLED`: flows that other nodes serve.
    pub tunnelled: BTreeMap<Tuple<F::Address>, Tunnelled>,
    /// `PATHS`: how long packets to backends' nodes may be.
    pub paths: BTreeMap<F::Address, PathMtu>,
    /// `NODES`: addresses of nodes.
    pub nodes: BTreeSet<F::Address>,
    /// `FRAGMENTS`.
    pub fragments: BTreeMap<FragmentKey<F::Address>, Fragment>,
    /// `EXPIRY`: the queue in which established flows, affinities and masquerades wait for the
    /// sweep.
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
            ranges: [Range::default(); 2],
            admitted: BTreeSet::new(),
            pod_links: BTreeSet::new(),
            uplinks: BTreeMap::new(),
            resolver: Resolver::default(),
            names: BTreeMap::new(),
            account: Account::default(),
            counter: 0,
            turn: 0,
            chunks: BTreeMap::new(),
            backends: BTreeMap::new(),
            flow_capacity: usize::MAX,
            affinity_capacity: usize::MAX,
            foreign_capacity: usize::MAX,
            mask_capacity: usize::MAX,
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
            foreigns: BTreeMap::new(),
            masks: BTreeMap::new(),
            tunnelled: BTreeMap::new(),
            paths: BTreeMap::new(),
            nodes: BTreeSet::new(),
            fragments: BTreeMap::new(),
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
