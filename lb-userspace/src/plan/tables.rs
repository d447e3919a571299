// SPDX-License-Identifier: MIT OR Apache-2.0
//! The slot tables of one Service, of which nearly all have one or two.

use std::sync::Arc;

use super::{Table, TableKey};

/// Tables in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables(Box<[(TableKey, Arc<Table>)]>);

impl Tables {
    /// One of them.
    pub fn get(&self, key: &TableKey) -> Option<&Table> {
        let place = self.0.binary_search_by(|(known, _)| known.cmp(key));
        let (_, table) = self.0.get(place.ok()?)?;
        Some(table)
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&TableKey, &Arc<Table>)> {
        self.0.iter().map(|(key, table)| (key, table))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of tables in any order, each key once.
impl FromIterator<(TableKey, Arc<Table>)> for Tables {
    fn from_iter<I: IntoIterator<Item = (TableKey, Arc<Table>)>>(tables: I) -> Self {
        let mut tables: Box<[_]> = tables.into_iter().collect();
        tables.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self(tables)
    }
}
