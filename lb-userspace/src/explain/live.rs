// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet path's tables over the kernel's maps: they are read, and what is written stays here,
//! where this one packet finds it again.

mod access;

use super::{Maps, record::Event};
use crate::maps::{
    StoreError,
    kernel::{FamilyTables, KernelTables, Table},
};
use lb_common::{
    family::{Family, V4, V6},
    tables::{Environment, Found, InsertError, Stage, Torn, Word},
    wire::{Account, Affinity, Flow, Foreign, Node, Range, Reverse, Sealed, Tuple},
};
use std::{cell::RefCell, collections::BTreeMap, ops::Deref};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Interfaces that stand for those where clients' packets enter: no real one has the number 0, and
/// of the others it does not matter which.
pub(super) const EDGE: u32 = 0;
pub(super) const UPLINK: u32 = 1;

/// All tables, for one packet.
pub(super) struct Live<'a> {
    maps: &'a KernelTables,
    node: Node,
    ranges: [Range; 2],
    account: Account,
    now_ns: u64,
    v4: Written<V4>,
    v6: Written<V6>,
    events: RefCell<Vec<Event>>,
    failure: RefCell<Option<StoreError>>,
}

/// What this packet has written: a value, or that there is none any more.
type Layer<K, V> = BTreeMap<K, Option<V>>;

/// The same for the tables of a family.
struct Written<F: Family> {
    established: Pair<F>,
    half_open: Pair<F>,
    affinities: Layer<Tuple<F::Address>, Affinity>,
    foreigns: Layer<Tuple<F::Address>, Foreign>,
}

/// The same for flows, and the way back into them.
struct Pair<F: Family> {
    flows: Layer<Tuple<F::Address>, Flow>,
    reverses: Layer<Tuple<F::Address>, Reverse>,
}

impl<F: Family> Written<F> {
    const fn nothing() -> Self {
        const fn pair<F: Family>() -> Pair<F> {
            Pair {
                flows: Layer::new(),
                reverses: Layer::new(),
            }
        }
        Self {
            established: pair(),
            half_open: pair(),
            affinities: Layer::new(),
            foreigns: Layer::new(),
        }
    }

    fn stage(&self, stage: Stage) -> &Pair<F> {
        match stage {
            Stage::Established => &self.established,
            Stage::HalfOpen => &self.half_open,
        }
    }

    fn stage_mut(&mut self, stage: Stage) -> &mut Pair<F> {
        match stage {
            Stage::Established => &mut self.established,
            Stage::HalfOpen => &mut self.half_open,
        }
    }
}

impl<'a> Live<'a> {
    /// Reads what packets of both families need; all else is read when it is asked for.
    pub(super) fn open(maps: &Maps<'a>, now_ns: u64) -> Result<Self, StoreError> {
        Ok(Self {
            maps: maps.tables,
            node: maps.store.node()?,
            ranges: maps.store.ranges()?,
            account: maps.tables.account()?,
            now_ns,
            v4: Written::nothing(),
            v6: Written::nothing(),
            events: RefCell::default(),
            failure: RefCell::default(),
        })
    }

    /// What has happened; an error if a map could not be read, for then it says nothing.
    pub(super) fn close(self) -> Result<(Node, Vec<Event>), StoreError> {
        match self.failure.into_inner() {
            Some(error) => Err(error),
            None => Ok((self.node, self.events.into_inner())),
        }
    }

    fn note(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    /// What was read, or something else in place of it after a failure, which ends it all.
    fn read<T>(&self, read: Result<T, StoreError>, otherwise: T) -> T {
        read.unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            otherwise
        })
    }

    fn find<K: Key, V: Value>(
        &self,
        written: &Layer<K, V>,
        table: &Table<K, V>,
        key: &K,
    ) -> Found<V> {
        match written.get(key) {
            Some(value) => Ok(*value),
            None => self.read(table.find(key), Err(Torn)),
        }
    }

    /// Whether an entry can be made where none is; `is_lru`: whether others give way.
    fn room<K: Key, V: Value>(
        written: &Layer<K, V>,
        table: &Table<K, V>,
        key: &K,
        is_lru: bool,
    ) -> Result<Result<(), InsertError>, StoreError> {
        let is_there = match written.get(key) {
            Some(value) => value.is_some(),
            None => table.has(key)?,
        };
        if is_there {
            return Ok(Err(InsertError::Taken));
        }
        if is_lru {
            return Ok(Ok(()));
        }
        let mut room = i64::from(table.room()?);
        for (key, value) in written {
            room += i64::from(table.has(key)?) - i64::from(value.is_some());
        }
        Ok(if room > 0 {
            Ok(())
        } else {
            Err(InsertError::Full)
        })
    }
}

/// A key of a map.
trait Key: IntoBytes + FromBytes + Immutable + Copy + Ord + 'static {}
impl<K: IntoBytes + FromBytes + Immutable + Copy + Ord + 'static> Key for K {}

/// A value of a map.
trait Value: IntoBytes + FromBytes + Immutable + Sealed + Copy + 'static {}
impl<V: IntoBytes + FromBytes + Immutable + Sealed + Copy + 'static> Value for V {}

/// Names are left as they are: the packet that is explained holds no query.
impl<'a> Environment for Live<'a> {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn node(&self) -> impl Deref<Target = Node> + use<'a> {
        Box::new(self.node)
    }

    fn is_pod_link(&self, _ifindex: u32) -> bool {
        // The packet that is explained goes past no stack, so the question is never asked.
        false
    }

    fn is_uplink(&self, ifindex: u32) -> bool {
        ifindex == UPLINK
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
        self.note(Event::Settled(is_as_read));
        is_as_read
    }
}

/// What holds the tables of a family.
trait Holds<F: Family> {
    fn tables(&self) -> &FamilyTables<F>;
    fn written(&self) -> &Written<F>;
    fn written_mut(&mut self) -> &mut Written<F>;
}

impl Holds<V4> for Live<'_> {
    fn tables(&self) -> &FamilyTables<V4> {
        &self.maps.v4
    }

    fn written(&self) -> &Written<V4> {
        &self.v4
    }

    fn written_mut(&mut self) -> &mut Written<V4> {
        &mut self.v4
    }
}

impl Holds<V6> for Live<'_> {
    fn tables(&self) -> &FamilyTables<V6> {
        &self.maps.v6
    }

    fn written(&self) -> &Written<V6> {
        &self.v6
    }

    fn written_mut(&mut self) -> &mut Written<V6> {
        &mut self.v6
    }
}
