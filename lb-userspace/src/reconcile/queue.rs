// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which Services are to be written, and when: at once, after a failure, or when there is room.

use std::collections::BTreeMap;

use super::report::Failure;
use crate::model::Name;

/// Pause after a first failure; it doubles with each further one.
pub(super) const FIRST_RETRY_NS: u64 = 50_000_000;

/// Longest pause after a failure: once a fault is over, all is well within a second, also where
/// the processor has other things to do.
const LAST_RETRY_NS: u64 = 400_000_000;

/// Whoever waits for room is woken when something is freed; should the kernel have other reasons to
/// call a map full, this is when it is asked again.
const ROOM_RETRY_NS: u64 = 30_000_000_000;

/// Services that are not as they should be.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<Name, Entry>,
}

#[derive(Debug)]
struct Entry {
    due_ns: u64,
    /// Since when it is not as it should be, for want of a write and not of room.
    since_ns: u64,
    /// Failures in a row.
    attempts: u32,
    waits_for_room: bool,
    reason: Option<String>,
}

impl Queue {
    /// A Service has changed: due at once, whatever failed before.
    pub(super) fn put(&mut self, name: Name, now_ns: u64) {
        let before = self.entries.get(&name);
        let before = before.filter(|entry| !entry.waits_for_room);
        let entry = Entry {
            due_ns: now_ns,
            since_ns: before.map_or(now_ns, |entry| entry.since_ns),
            attempts: 0,
            waits_for_room: false,
            reason: None,
        };
        self.entries.insert(name, entry);
    }

    /// Services that are due, the oldest first: where room is short, it is theirs. They stay in
    /// the queue until [`Queue::done`].
    pub(super) fn due(&self, now_ns: u64, age: impl Fn(&Name) -> Option<i64>) -> Vec<Name> {
        let due = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.due_ns <= now_ns);
        let mut due: Vec<_> = due.map(|(name, _)| (age(name), name.clone())).collect();
        due.sort();
        due.into_iter().map(|(_, name)| name).collect()
    }

    /// A Service is as it should be.
    pub(super) fn done(&mut self, name: &Name) {
        self.entries.remove(name);
    }

    /// A Service is not.
    pub(super) fn failed(&mut self, name: &Name, reason: String, for_room: bool, now_ns: u64) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let doublings = entry.attempts.min(16);
        let pause = if for_room {
            ROOM_RETRY_NS
        } else {
            (FIRST_RETRY_NS << doublings).min(LAST_RETRY_NS)
        };
        *entry = Entry {
            due_ns: now_ns.saturating_add(pause),
            since_ns: entry.since_ns,
            attempts: entry.attempts.saturating_add(1),
            waits_for_room: for_room,
            reason: Some(reason),
        };
    }

    /// Room has come back: all that wait for it are due.
    pub(super) fn wake_waiting(&mut self, now_ns: u64) {
        let waiting = self
            .entries
            .values_mut()
            .filter(|entry| entry.waits_for_room);
        waiting.for_each(|entry| entry.due_ns = now_ns);
    }

    /// When the next one is due.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.entries.values().map(|entry| entry.due_ns).min()
    }

    /// Since when the oldest waits for a write. Whoever waits for room is not late: no patience
    /// and no restart would help, and it is reported as a failure.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        let waiting = self.entries.values();
        let late = waiting.filter(|entry| !entry.waits_for_room);
        late.map(|entry| entry.since_ns).min()
    }

    /// Whether a Service is not as it should be.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.entries.contains_key(name)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those that have failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = Failure> {
        self.entries.iter().filter_map(|(name, entry)| {
            Some(Failure {
                about: format!("Service {name}"),
                reason: entry.reason.clone()?,
                attempts: entry.attempts,
            })
        })
    }
}
