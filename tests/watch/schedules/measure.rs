// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a schedule took.

use std::time::Duration;

/// Of one schedule, or the worst of many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) stream_faults: u64,
    pub(super) failed_calls: u64,
    pub(super) killed: u64,
    /// From the last fault's being noticed until all was right.
    pub(super) noticed: Duration,
    /// From the moment when all faults were over.
    pub(super) over: Duration,
}

impl Measured {
    pub(super) fn add(&mut self, other: &Self) {
        self.stream_faults += other.stream_faults;
        self.failed_calls += other.failed_calls;
        self.killed += other.killed;
        self.noticed = self.noticed.max(other.noticed);
        self.over = self.over.max(other.over);
    }
}
