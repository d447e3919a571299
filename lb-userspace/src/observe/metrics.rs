// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `/metrics` says: kube-proxy's names and buckets where they mean the same, ours under
//! `weiche_`, and what every process tells. No label has a value that a cluster's users choose, so
//! the number of series has a bound. `docs/metrics.md` lists them all, and a test holds it to that.

mod direct;
mod dns;
mod kernel;
mod own;
mod process;

pub use kernel::{Kernel, PacketCount, Reading, packets};

use crate::{
    config::SeedKind,
    datapath::edges::EdgeState,
    dns::Answers,
    observe::health::Answer,
    reconcile::Report,
    takeover::Progress,
    watch::{
        cluster::calls::Calls,
        status::{ALL_KINDS, Status as WatchStatus},
    },
};
use own::Own;
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets, linear_buckets},
    },
    registry::Registry,
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

type Seconds = Gauge<f64, AtomicU64>;
type Labelled<M> = Family<[(&'static str, &'static str); 1], M>;

/// All metrics of an agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    kernel: Arc<Mutex<Reading>>,
    proxy: Proxy,
    calls: Calls,
    own: Own,
    answers: Answers,
}

/// Those that kube-proxy has as well.
#[derive(Debug)]
struct Proxy {
    sync_duration: Histogram,
    programming_duration: Histogram,
    last_sync: Seconds,
    last_queued: Seconds,
    services_pending: Gauge,
    endpoints_pending: Gauge,
    service_changes: Counter,
    endpoint_changes: Counter,
    not_local: Labelled<Gauge>,
    healthz: Labelled<Counter>,
    livez: Labelled<Counter>,
}

/// What stays the same while an agent runs.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Since 1970.
    pub started_s: u64,
    /// How often an agent has started here, this time included.
    pub starts: u64,
    /// How well the seed is kept from clients.
    pub seed: SeedKind,
}

impl Metrics {
    /// With all of them at zero.
    pub fn new(facts: &Facts) -> Self {
        let mut registry = Registry::default();
        let kernel = Arc::new(Mutex::new(Reading::default()));
        let proxy = Proxy::new(registry.sub_registry_with_prefix("kubeproxy"));
        let calls = Calls::default();
        calls.register(registry.sub_registry_with_prefix("rest_client"));
        let weiche = registry.sub_registry_with_prefix("weiche");
        let own = Own::new(weiche, facts);
        weiche.register_collector(Box::new(kernel::Collected(kernel.clone())));
        let answers = Answers::default();
        answers.register(weiche);
        process::register(&mut registry, facts.started_s);
        Self {
            registry,
            kernel,
            proxy,
            calls,
            own,
            answers,
        }
    }

    /// Where the client of an API server counts.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Takes in what the reconciler says after a round.
    pub fn round(&self, report: &Report) {
        if !report.listed {
            return;
        }
        let proxy = &self.proxy;
        proxy.sync_duration.observe(seconds(report.took_ns));
        proxy.last_sync.set(seconds(report.last_sync_ns));
        proxy.last_queued.set(seconds(report.last_queued_ns));
        proxy.services_pending.set(count(report.pending));
        proxy.endpoints_pending.set(count(report.pending));
        let [services, endpoints] = report.changes;
        catch_up(&proxy.service_changes, services);
        catch_up(&proxy.endpoint_changes, endpoints);
        let [internal, external] = report.not_local;
        for (policy, ports) in [("internal", internal), ("external", external)] {
            let gauge = proxy.not_local.get_or_create(&[("traffic_policy", policy)]);
            gauge.set(count(ports));
        }
        for waited in &report.programmed {
            self.programmed(waited.as_secs_f64());
        }
        let own = &self.own;
        let states = [
            ("desired", report.services_desired),
            ("programmed", report.services_programmed),
        ];
        for (state, number) in states {
            own.services
                .get_or_create(&[("state", state)])
                .set(count(number));
        }
        own.refused.clear();
        for (reason, number) in &report.problem_kinds {
            own.refused
                .get_or_create(&[("reason", reason)])
                .set(count(*number));
        }
        own.failures.set(count(report.failure_count));
        self.reading(|reading| reading.tables(report));
    }

    /// How long a change took from the cluster to the maps.
    pub fn programmed(&self, duration_s: f64) {
        self.proxy.programming_duration.observe(duration_s);
    }

    /// Takes in how far taking over has come.
    pub fn takeover(&self, progress: &Progress) {
        self.own.foreign_flows.set(count(progress.flows));
    }

    /// Takes in what the source of objects says.
    pub fn source(&self, status: &WatchStatus) {
        self.own.source_problems.set(count(status.problems.len()));
        for kind in ALL_KINDS {
            let number = status.unreadable.get(kind).copied().unwrap_or(0);
            let gauge = self.own.unreadable.get_or_create(&[("kind", kind)]);
            gauge.set(count(number));
        }
    }

    /// Takes in how the edges are.
    pub fn edges(&self, edges: &[EdgeState]) {
        for (label, serving) in [("serving", true), ("failed", false)] {
            let number = edges
                .iter()
                .filter(|edge| edge.backend.is_some() == serving);
            let gauge = self.own.edges.get_or_create(&[("state", label)]);
            gauge.set(count(number.count()));
        }
    }

    /// Counts a probe that was answered.
    pub fn probed(&self, probe: super::health::Probe, answer: &Answer) {
        use super::health::Probe;
        let family = match probe {
            Probe::Healthz => &self.proxy.healthz,
            Probe::Livez => &self.proxy.livez,
            // kube-proxy has none.
            Probe::Readyz => return,
        };
        let code = if answer.healthy { "200" } else { "503" };
        family.get_or_create(&[("code", code)]).inc();
    }

    /// Takes in what was read from the kernel.
    pub fn kernel(&self, kernel: Kernel) {
        self.kernel_answers(&kernel.packets);
        self.reading(|reading| reading.kernel = kernel);
    }

    /// All of them in the text format of `OpenMetrics`.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn reading(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.kernel.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Proxy {
    fn new(registry: &mut Registry) -> Self {
        let sync = exponential_buckets(0.001, 2.0, 15);
        // 0.25 s, 0.5 s; each second of the first minute; every 5 s of the second; to five minutes.
        let programming = linear_buckets(0.25, 0.25, 2)
            .chain(linear_buckets(1.0, 1.0, 59))
            .chain(linear_buckets(60.0, 5.0, 12))
            .chain(linear_buckets(120.0, 30.0, 7));
        let new = Self {
            sync_duration: Histogram::new(sync),
            programming_duration: Histogram::new(programming),
            last_sync: Seconds::default(),
            last_queued: Seconds::default(),
            services_pending: Gauge::default(),
            endpoints_pending: Gauge::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            not_local: Labelled::default(),
            healthz: Labelled::default(),
            livez: Labelled::default(),
        };
        new.register(registry);
        new
    }

    fn register(&self, registry: &mut Registry) {
        let rules = |name: &str| format!("sync_proxy_rules_{name}");
        registry.register(
            rules("duration_seconds"),
            "How long one round of comparing and writing took",
            self.sync_duration.clone(),
        );
        registry.register(
            "network_programming_duration_seconds",
            "From the change of a pod or Service, as its EndpointSlice says, to the kernel's maps",
            self.programming_duration.clone(),
        );
        registry.register(
            rules("last_timestamp_seconds"),
            "When the last round ended, since 1970",
            self.last_sync.clone(),
        );
        registry.register(
            rules("last_queued_timestamp_seconds"),
            "When the last change of an object was taken in, since 1970",
            self.last_queued.clone(),
        );
        registry.register(
            rules("service_changes_pending"),
            "Services that wait for a write or for room",
            self.services_pending.clone(),
        );
        registry.register(
            rules("endpoint_changes_pending"),
            "The same number: a Service is written with its endpoints",
            self.endpoints_pending.clone(),
        );
        registry.register(
            rules("service_changes"),
            "Changes of Services seen",
            self.service_changes.clone(),
        );
        registry.register(
            rules("endpoint_changes"),
            "Changes of EndpointSlices seen",
            self.endpoint_changes.clone(),
        );
        registry.register(
            // A gauge in kube-proxy too, in spite of its name.
            rules("no_local_endpoints_total"),
            "Ports of Services whose traffic policy is Local and that have endpoints on other nodes \
             only",
            self.not_local.clone(),
        );
        registry.register(
            "proxy_healthz",
            "Answers of /healthz, by HTTP status",
            self.healthz.clone(),
        );
        registry.register(
            "proxy_livez",
            "Answers of /livez, by HTTP status",
            self.livez.clone(),
        );
    }
}

/// A counter that somebody else keeps.
fn catch_up(counter: &Counter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "53 bits are enough for what people look at"
)]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests;
