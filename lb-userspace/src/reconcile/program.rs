// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs one Service: the way in, and the way out, in the order of [`diff`].

use super::{
    actual::{Actual, Programmed},
    diff::{self, Op},
    room::Fitted,
};
use crate::{
    maps::{Store, StoreError},
    model::Name,
    plan::{Desired, Tables},
};

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything is as it should be.
    Done,
    /// As far as there was room.
    Short(StoreError),
    /// Addresses are still to be taken over by the table that gets them.
    HandOver,
    /// A write failed, or a new Service found no room.
    Failed(StoreError),
}

impl Actual {
    /// The way in for all tables of a Service; what of them found room.
    pub(super) fn enter(
        &mut self,
        store: &mut impl Store,
        wanted: &Tables,
        due_ns: u64,
    ) -> Result<Fitted, StoreError> {
        let entered = self.try_enter(store, wanted, due_ns);
        if entered.is_err() {
            self.take_back(wanted);
        }
        entered
    }

    /// The way out: what the Service has and should not. Without a complete way in only frontends
    /// that nobody wants go, since the others still lead to what is there.
    pub(super) fn leave(
        &mut self,
        store: &mut impl Store,
        name: &Name,
        wanted: &Tables,
        entered: Result<Fitted, StoreError>,
        desired: &Desired,
        due_ns: u64,
    ) -> Outcome {
        let tables = entered.as_ref().map_or(wanted, |fitted| &fitted.tables);
        let withdrawn = self.withdraw(store, name, tables, desired, due_ns);
        let is_withdrawn = match withdrawn {
            Ok(is_withdrawn) => is_withdrawn,
            Err(error) => return Outcome::Failed(error),
        };
        let Fitted { tables, short } = match entered {
            Ok(fitted) if is_withdrawn => fitted,
            Ok(_) => return Outcome::HandOver,
            Err(error) => return Outcome::Failed(error),
        };
        let let_go = self.let_go(store, name, &tables, due_ns);
        match (let_go.and_then(|()| self.bar(store, &tables)), short) {
            (Err(error), _) => Outcome::Failed(error),
            (Ok(()), Some(short)) => Outcome::Short(short),
            (Ok(()), None) => Outcome::Done,
        }
    }

    fn try_enter(
        &mut self,
        store: &mut impl Store,
        wanted: &Tables,
        due_ns: u64,
    ) -> Result<Fitted, StoreError> {
        for (key, table) in wanted.iter() {
            self.adopt(key, table);
        }
        let fitted = self.make_room(wanted, due_ns)?;
        for (key, table) in fitted.tables.iter() {
            for op in diff::enter(self, key, table) {
                self.apply(store, key, Some(table), &op, due_ns)?;
            }
        }
        self.enter_addresses(store, &fitted.tables)?;
        Ok(fitted)
    }

    /// Whether no frontend is left that leads to a table and should not.
    fn withdraw(
        &mut self,
        store: &mut impl Store,
        name: &Name,
        tables: &Tables,
        desired: &Desired,
        due_ns: u64,
    ) -> Result<bool, StoreError> {
        let mut all = true;
        for key in self.tables_of(name) {
            let table = tables.get(&key);
            for op in diff::withdraw(self, &key, table) {
                if let Op::Withdraw(frontend) = op
                    && desired.is_served(frontend)
                {
                    // It serves on until the table that gets it has taken it over.
                    all = false;
                    continue;
                }
                self.apply(store, &key, table, &op, due_ns)?;
            }
        }
        Ok(all)
    }

    fn let_go(
        &mut self,
        store: &mut impl Store,
        name: &Name,
        tables: &Tables,
        due_ns: u64,
    ) -> Result<(), StoreError> {
        for key in self.tables_of(name) {
            let table = tables.get(&key);
            for op in diff::leave(self, &key, table) {
                self.apply(store, &key, table, &op, due_ns)?;
            }
            if self.tables.get(&key).is_some_and(Programmed::is_empty) {
                self.tables.remove(&key);
            }
        }
        Ok(())
    }
}
