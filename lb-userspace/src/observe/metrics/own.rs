// SPDX-License-Identifier: MIT OR Apache-2.0
//! Metrics that kube-proxy does not have.

use super::{Facts, Labelled, direct::Direct};
use crate::config::SeedKind;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Those that only we have.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) services: Labelled<Gauge>,
    pub(super) refused: Labelled<Gauge>,
    pub(super) failures: Gauge,
    pub(super) source_problems: Gauge,
    pub(super) unreadable: Labelled<Gauge>,
    pub(super) foreign_flows: Gauge,
    pub(super) edges: Labelled<Gauge>,
    pub(super) direct: Direct,
}

impl Own {
    /// With all of them at zero, but what stays the same.
    pub(super) fn new(registry: &mut Registry, facts: &Facts) -> Self {
        let new = Self {
            services: Labelled::default(),
            refused: Labelled::default(),
            failures: Gauge::default(),
            source_problems: Gauge::default(),
            unreadable: Labelled::default(),
            foreign_flows: Gauge::default(),
            edges: Labelled::default(),
            direct: Direct::new(registry),
        };
        let build = Labelled::<Gauge>::default();
        build
            .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        registry.register("build_info", "1, with the version as a label", build);
        let starts = Counter::<u64>::default();
        starts.inc_by(facts.starts);
        registry.register(
            "starts",
            "How often an agent has started with this --state-dir",
            starts,
        );
        let weak = Gauge::<i64>::default();
        weak.set(i64::from(facts.seed == SeedKind::Weak));
        registry.register(
            "seed_weak",
            "1 if clients may find out the seed, and so choose their backend",
            weak,
        );
        registry.register(
            "services",
            "Services that have something to be programmed (desired), and those whose maps are as \
             they should be (programmed)",
            new.services.clone(),
        );
        registry.register(
            "refused_parts",
            "Parts of objects that are left out, by reason; `weiche status` names the objects",
            new.refused.clone(),
        );
        registry.register(
            "failures",
            "Services and other parts of the maps whose last write failed or found no room",
            new.failures.clone(),
        );
        registry.register(
            "source_problems",
            "What is wrong with the source of objects now: watches that are cut, bad files",
            new.source_problems.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Objects that the API server has and that cannot be read, by kind; `weiche status` \
             names them",
            new.unreadable.clone(),
        );
        registry.register(
            "foreign_flows",
            "Flows that are left to netfilter while we take over from a kube-proxy",
            new.foreign_flows.clone(),
        );
        registry.register(
            "edges",
            "Interfaces that carry our programs (serving), or should (failed)",
            new.edges.clone(),
        );
        new
    }
}
