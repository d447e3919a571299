// SPDX-License-Identifier: MIT OR Apache-2.0
//! The difference between what a table should have in the maps and what it has, as operations in
//! an order that is safe after any prefix.
//!
//! On the way in backends come before slots, and slots before the frontends that count them; a
//! new slot table stands beside the old one. On the way out frontends go first, then what they
//! led to. Functions of what is wanted and what is believed; writing is another matter.

use ipnet::IpNet;
use lb_common::wire::{BackendState, Service};

use super::actual::{Actual, Programmed, rank};
use crate::{
    maps::Frontend,
    plan::{BackendKey, Table, TableKey},
};

/// One step for one table; at most one call that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Names the service id.
    Label,
    /// Lets these dial the Service.
    Admit(Vec<IpNet>),
    /// Writes backends in these states, but for those that are in one that allows more.
    Hold(Vec<(BackendKey, BackendState)>),
    /// Writes the slots.
    Fill,
    /// Lets a frontend lead here.
    Point(Frontend),
    /// Takes a frontend away.
    Withdraw(Frontend),
    /// Gives up slot tables that are not wanted any more.
    Discard,
    /// Lets a backend sink to a state, or go.
    Lower(BackendKey, Option<BackendState>),
    /// Gives up the service id.
    Unlabel,
}

/// The way in: afterwards all frontends of the table lead to its slots.
pub(super) fn enter(actual: &Actual, key: &TableKey, table: &Table) -> Vec<Op> {
    let nothing = Programmed::default();
    let programmed = actual.tables.get(key).unwrap_or(&nothing);
    let mut ops = Vec::new();
    if programmed.label.as_ref() != Some(&table.label) {
        ops.push(Op::Label);
    }
    let label = actual.labels.get(&table.label);
    let service_id = label.map_or(0, |label| label.id);
    let strangers = actual.strangers(service_id, table);
    if !strangers.is_empty() {
        ops.push(Op::Admit(strangers));
    }
    let is_held = |backend: &BackendKey, state: BackendState| {
        programmed.backends.get(backend).is_some_and(|held| {
            let needed = held.needed.map_or(0, rank);
            held.service_id == service_id && needed >= rank(state)
        })
    };
    let backends = table.backends.iter();
    let missing: Vec<_> = backends
        .filter(|(key, state)| !is_held(key, *state))
        .collect();
    if !missing.is_empty() {
        ops.push(Op::Hold(missing));
    }
    if programmed
        .current(table)
        .is_some_and(|slots| !slots.written)
    {
        ops.push(Op::Fill);
    }
    let value = actual.value(key, table);
    for frontend in &table.frontends {
        let there = value.is_some_and(|value| {
            let flags = table.flags_at(*frontend);
            actual.points(*frontend, key, &Service { flags, ..value })
        });
        if !there {
            ops.push(Op::Point(*frontend));
        }
    }
    ops
}

/// Frontends that lead here and should not. None: the table is not wanted any more.
pub(super) fn withdraw(actual: &Actual, key: &TableKey, table: Option<&Table>) -> Vec<Op> {
    let Some(programmed) = actual.tables.get(key) else {
        return Vec::new();
    };
    let wanted =
        |frontend: &Frontend| table.is_some_and(|table| table.frontends.contains(frontend));
    let unwanted = programmed
        .frontends
        .iter()
        .filter(|frontend| !wanted(frontend));
    unwanted.map(|frontend| Op::Withdraw(*frontend)).collect()
}

/// The way out, once no frontend leads to it: afterwards the table has what it should and no more.
pub(super) fn leave(actual: &Actual, key: &TableKey, table: Option<&Table>) -> Vec<Op> {
    let Some(programmed) = actual.tables.get(key) else {
        return Vec::new();
    };
    let mut ops = Vec::new();
    let wanted = |fits: &dyn Fn(&Table) -> bool| table.is_some_and(fits);
    let mut slots = programmed.slots.iter();
    if slots.any(|slots| !wanted(&|table| slots.fit(table))) {
        ops.push(Op::Discard);
    }
    for held in programmed.backends.iter() {
        let state = table.and_then(|table| table.backends.state(&held.backend));
        if state != held.needed {
            ops.push(Op::Lower(held.backend, state));
        }
    }
    if table.is_none() && programmed.label.is_some() {
        ops.push(Op::Unlabel);
    }
    ops
}
