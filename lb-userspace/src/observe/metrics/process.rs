// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every process tells, under the names that Prometheus' own clients use.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use rustix::param::{clock_ticks_per_second, page_size};
use std::{fmt, fs};

pub(super) fn register(registry: &mut Registry, started_s: u64) {
    registry.register_collector(Box::new(Process { started_s }));
}

#[derive(Debug)]
struct Process {
    started_s: u64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time of the agent, user and system",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(cpu_s()).encode(cpu)?;
        let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| super::count(entries.count()));
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                resident_bytes(),
            ),
            ("process_open_fds", "Open files", open),
            (
                "process_start_time_seconds",
                "When the agent started, since 1970",
                i64::try_from(self.started_s).unwrap_or(0),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

/// `proc_pid_stat(5)`, `utime` and `stime`.
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold blanks and more parentheses.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
    super::seconds(ticks.saturating_mul(1_000_000_000) / clock_ticks_per_second().max(1))
}

/// `proc_pid_statm(5)`, the second number.
fn resident_bytes() -> i64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    super::count(pages.unwrap_or(0).saturating_mul(page_size()))
}
