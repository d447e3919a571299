// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many answers there were, by code.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The counts; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    by_code: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Answers {
    /// Counts an answer; its code is in its fourth byte.
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
        self.by_code.get_or_create(&[("code", code)]).inc();
    }

    /// Lets a registry whose prefix is `weiche` tell of them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "dns_answers",
            "Answers of the DNS server, by code; what other servers have answered included",
            self.by_code.clone(),
        );
    }
}
