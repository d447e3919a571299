// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables as a reader would find them in the middle of a write.

use lb_common::family::Family;
use tests::tables::{Entries, Memory};

/// What kind of value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Service,
    Backend,
    Flow,
    Reverse,
}

/// How it is seen to be not whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tear {
    /// Its front is of another write than its back.
    Halves,
    /// It is of another key.
    OtherKey,
}

/// All kinds.
pub(crate) const VALUES: [Value; 4] = [Value::Service, Value::Backend, Value::Flow, Value::Reverse];

/// Tears all values of a kind.
pub(crate) fn tear(memory: &mut Memory, value: Value, how: Tear) {
    if matches!(value, Value::Backend) {
        for backend in memory.backends.values_mut() {
            match how {
                Tear::Halves => backend.version_end += 1,
                Tear::OtherKey => backend.id += 1,
            }
        }
    }
    tear_entries(&mut memory.v4, value, how);
    tear_entries(&mut memory.v6, value, how);
}

fn tear_entries<F: Family>(entries: &mut Entries<F>, value: Value, how: Tear) {
    let Entries {
        frontends, flows, ..
    } = entries;
    let mut words: Vec<(&mut u64, &mut u64)> = Vec::new();
    for pair in [&mut flows.half_open, &mut flows.established] {
        match value {
            Value::Flow => words.extend(
                pair.flows
                    .values_mut()
                    .map(|flow| (&mut flow.born_ns_end, &mut flow.identity)),
            ),
            Value::Reverse => words.extend(
                pair.reverse
                    .values_mut()
                    .map(|entry| (&mut entry.born_ns_end, &mut entry.identity)),
            ),
            Value::Service | Value::Backend => {}
        }
    }
    if matches!(value, Value::Service) {
        words.extend(
            frontends
                .values_mut()
                .map(|service| (&mut service.version_end, &mut service.identity)),
        );
    }
    for (end, identity) in words {
        match how {
            Tear::Halves => *end += 1,
            Tear::OtherKey => *identity ^= 1,
        }
    }
}
