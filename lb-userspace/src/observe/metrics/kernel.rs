// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is read from the kernel when somebody asks: packets by hook and reason, and how full the
//! maps are.

use super::Metrics;
use crate::{
    clock,
    datapath::{early, pin::Hook},
    maps::{
        StoreError,
        kernel::{KernelFlows, KernelReasons, Usage},
    },
    observe::pressure::Pressed,
    reconcile::Report,
};
use lb_common::verdict::{REASON_SLOTS, Reason};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use serde::Serialize;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// How often packets ended at a hook for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PacketCount {
    /// The hook.
    pub hook: &'static str,
    /// The reason.
    pub reason: &'static str,
    /// How many.
    pub packets: u64,
}

/// What the kernel's maps say.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// Every hook and reason.
    pub packets: Vec<PacketCount>,
    /// The tables of flows and of affinities.
    pub flows: Vec<Usage>,
}

/// What the kernel's maps say, and what the reconciler knows about the others.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub(super) kernel: Kernel,
    pub(super) pressed: Vec<Pressed>,
    tables: Vec<Usage>,
}

impl Metrics {
    /// Takes in which maps are nearly full.
    pub fn pressed(&self, pressed: &[Pressed]) {
        self.reading(|reading| reading.pressed = pressed.to_vec());
    }

    /// How full the maps were when they were last looked at.
    pub fn usages(&self) -> Vec<Usage> {
        let reading = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        reading.usages().copied().collect()
    }
}

impl Kernel {
    /// Reads them. Counting flows takes a system call for each.
    pub fn read(reasons: &KernelReasons, flows: &KernelFlows) -> Result<Self, StoreError> {
        Ok(Self {
            packets: packets(reasons)?,
            flows: flows.usage(clock::monotonic_ns())?,
        })
    }
}

/// Every hook and reason, those that never occurred included.
pub fn packets(reasons: &KernelReasons) -> Result<Vec<PacketCount>, StoreError> {
    let sums = reasons.sums()?;
    let slots = usize::try_from(REASON_SLOTS).unwrap_or(usize::MAX);
    let hooks = [Hook::Ingress.name(), Hook::Egress.name(), early::HOOK]
        .into_iter()
        .zip(sums.chunks(slots));
    let of_hook = |(hook, sums): (&'static str, &[u64])| {
        let count = |reason: &Reason| PacketCount {
            hook,
            reason: reason.label(),
            packets: sums.get(usize::from(reason.number())).copied().unwrap_or(0),
        };
        Reason::ALL.iter().map(count).collect::<Vec<_>>()
    };
    Ok(hooks.flat_map(of_hook).collect())
}

impl Reading {
    /// The tables whose contents the reconciler knows.
    pub(super) fn tables(&mut self, report: &Report) {
        let capacity = report.capacity;
        let [v4, v6] = report.frontends;
        let table = |map, capacity: u32, entries: u32| Usage {
            map,
            entries,
            capacity,
            spare: 0,
        };
        self.tables = vec![
            table("frontends_v4", capacity.frontends, v4),
            table("frontends_v6", capacity.frontends, v6),
            table(
                "backends",
                capacity.backends,
                // Id 0 is never given out.
                capacity
                    .backends
                    .saturating_sub(report.backends_free)
                    .saturating_sub(1),
            ),
            table(
                "slots",
                capacity.chunks,
                capacity.chunks.saturating_sub(report.chunks_free),
            ),
        ];
    }

    pub(super) fn usages(&self) -> impl Iterator<Item = &Usage> {
        self.tables.iter().chain(&self.kernel.flows)
    }
}

/// Tells what was read last.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Arc<Mutex<Reading>>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packets = encoder.encode_descriptor(
            "packets",
            "Packets by hook and by the reason for what became of them",
            None,
            MetricType::Counter,
        )?;
        for count in &reading.kernel.packets {
            let labels = [("hook", count.hook), ("reason", count.reason)];
            let encoder = packets.encode_family(&labels)?;
            ConstCounter::new(count.packets).encode(encoder)?;
        }
        gauge(
            &mut encoder,
            "map_entries",
            "Entries in a map, half-open flows that are over or answered left out; counted at most every 5 s",
            reading
                .usages()
                .map(|usage| (usage.map, i64::from(usage.entries))),
        )?;
        gauge(
            &mut encoder,
            "map_capacity_entries",
            "Entries that a map has room for",
            reading
                .usages()
                .map(|usage| (usage.map, i64::from(usage.capacity))),
        )?;
        gauge(
            &mut encoder,
            "map_pressure",
            "How full a map is, from 0 to 1",
            reading.usages().map(|usage| {
                let share = f64::from(usage.entries) / f64::from(usage.capacity.max(1));
                (usage.map, share)
            }),
        )?;
        gauge(
            &mut encoder,
            "map_nearly_full",
            "1 from the moment a map is 90 % full until it is below 80 %",
            reading.usages().map(|usage| {
                let is_pressed = reading.pressed.iter().any(|one| one.map == usage.map);
                (usage.map, i64::from(is_pressed))
            }),
        )
    }
}

fn gauge<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (&'static str, V)>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (map, value) in rows {
        let labels = [("map", map)];
        let encoder = family.encode_family(&labels)?;
        ConstGauge::new(value).encode(encoder)?;
    }
    Ok(())
}
