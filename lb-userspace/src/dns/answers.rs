// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many answers there were, by who has answered and by code; and what comparing them with the
//! kernel's has come to.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use std::ops::Deref;

/// The counts; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    answers: Family<[(&'static str, &'static str); 2], Counter>,
    compared: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Answers {
    /// Counts an answer of the server's; its code is in its fourth byte.
    pub fn count(&self, answer: &[u8]) {
        let code = match answer.get(3).map_or(0, |flags| flags & 0x0f) {
            0 => "noerror",
            1 => "formerr",
            2 => "servfail",
            3 => "nxdomain",
            4 => "notimp",
            5 => "refused",
            _ => "other",
        };
        self.of("server", code).inc();
    }

    /// Takes in how many answers with a code the kernel has given so far.
    pub fn of_kernel(&self, code: &'static str, total: u64) {
        let counter = self.of("kernel", code);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Counts an answer that was compared with the kernel's.
    pub fn compared(&self, outcome: &'static str) {
        self.compared.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Lets a registry whose prefix is `weiche` tell of them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dns_answers",
            "Answers to questions for names, by who has answered (kernel, server) and by code; what \
             other servers have answered is the server's",
            self.answers.clone(),
        );
        registry.register(
            "dns_shadow",
            "Answers that --kernel-dns=shadow has compared with the kernel's (same, different), \
             could not read (unread), or the kernel has none for (left)",
            self.compared.clone(),
        );
    }

    fn of(&self, by: &'static str, code: &'static str) -> impl Deref<Target = Counter> {
        self.answers.get_or_create(&[("by", by), ("code", code)])
    }
}
