// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the DNS server has answered.

use super::Metrics;
use crate::dns::Answers;

impl Metrics {
    /// From now on, tells of these as well.
    pub fn tell_of(&mut self, answers: &Answers) {
        answers.register(self.registry.sub_registry_with_prefix("weiche"));
    }
}
