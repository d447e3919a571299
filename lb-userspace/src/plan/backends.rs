// SPDX-License-Identifier: MIT OR Apache-2.0
//! The endpoints of one table: which there are, and which of them share its slots.

use std::sync::Arc;

use lb_common::wire::BackendState;

use super::BackendKey;

/// Backends and their states, in the order of their keys. Copies are one list in memory: what is
/// planned is nearly always what the slots were built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends(Arc<[(BackendKey, BackendState)]>);

impl Backends {
    /// All of them: flows outlive choices.
    pub fn iter(&self) -> impl Iterator<Item = (BackendKey, BackendState)> {
        self.0.iter().copied()
    }

    /// The state of one of them.
    pub fn state(&self, backend: &BackendKey) -> Option<BackendState> {
        let place = self.0.binary_search_by_key(backend, |(key, _)| *key);
        let (_, state) = self.0.get(place.ok()?)?;
        Some(*state)
    }

    /// Those that take new flows, and so share the slots.
    pub fn chosen(&self) -> impl Iterator<Item = BackendKey> {
        let active = self
            .iter()
            .filter(|(_, state)| *state == BackendState::Active);
        active.map(|(key, _)| key)
    }

    /// Whether one takes new flows.
    pub fn chooses(&self, backend: &BackendKey) -> bool {
        self.state(backend) == Some(BackendState::Active)
    }

    /// Whether the same ones are chosen, in whatever state the others are.
    pub fn chooses_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.chosen().eq(other.chosen())
    }
}

/// Of backends in order, each once.
impl FromIterator<(BackendKey, BackendState)> for Backends {
    fn from_iter<I: IntoIterator<Item = (BackendKey, BackendState)>>(backends: I) -> Self {
        Self(backends.into_iter().collect())
    }
}
