// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names, buckets, bounds; and that `docs/metrics.md` tells of all of them.

use super::*;
use crate::{
    maps::{Capacity, kernel::Usage},
    observe::pressure::Pressed,
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

fn metrics() -> Metrics {
    Metrics::new(&Facts {
        started_s: 1_764_000_000,
        starts: 3,
        seed: SeedKind::Secret,
    })
}

/// One of everything.
fn full() -> Metrics {
    let metrics = metrics();
    metrics.answers().count(&[0, 0, 0x84, 3]);
    metrics.answers().compared("same");
    metrics.direct(&crate::delivery::State::default());
    metrics.round(&Report {
        listed: true,
        services_desired: 5,
        services_programmed: 4,
        pending: 1,
        problem_kinds: BTreeMap::from([("taken", 2)]),
        failure_count: 1,
        capacity: Capacity {
            frontends: 8,
            backends: 17,
            chunks: 10,
        },
        frontends: [2, 1],
        backends_free: 12,
        chunks_free: 5,
        changes: [7, 9],
        not_local: [1, 2],
        last_queued_ns: 1_764_000_001_500_000_000,
        last_sync_ns: 1_764_000_002_000_000_000,
        took_ns: 3_000_000,
        ..Report::default()
    });
    metrics.programmed(0.3);
    metrics.edges(&[]);
    metrics.source(&WatchStatus {
        unreadable: BTreeMap::from([("Service".to_owned(), 3)]),
        ..WatchStatus::default()
    });
    metrics.kernel(Kernel {
        packets: [("forwarded", 42), ("name_found", 5), ("name_empty", 2)]
            .map(|(reason, packets)| PacketCount {
                hook: "ingress",
                reason,
                packets,
            })
            .to_vec(),
        flows: vec![Usage {
            map: "flows_v4",
            entries: 1,
            capacity: 4,
            spare: 0,
        }],
    });
    metrics.pressed(&[Pressed {
        map: "backends".to_owned(),
        capacity: 17,
        since_s: 0,
    }]);
    let mut call = metrics.calls().begin("GET", "10.0.0.1:6443", false);
    call.answered("200");
    for probe in [
        crate::observe::health::Probe::Healthz,
        crate::observe::health::Probe::Livez,
    ] {
        let answer = Answer {
            healthy: false,
            body: String::new(),
        };
        metrics.probed(probe, &answer);
    }
    metrics
}

#[test]
fn what_is_known_is_told() {
    let text = full().text().unwrap();
    for line in [
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.004\"} 1",
        "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.002\"} 0",
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1764000002.0",
        "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds 1764000001.5",
        "kubeproxy_sync_proxy_rules_service_changes_pending 1",
        "kubeproxy_sync_proxy_rules_service_changes_total 7",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 9",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy=\"internal\"} 1",
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy=\"external\"} 2",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.25\"} 0",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.5\"} 1",
        "kubeproxy_proxy_healthz_total{code=\"503\"} 1",
        "rest_client_requests_total{code=\"200\",method=\"GET\",host=\"10.0.0.1:6443\"} 1",
        "weiche_starts_total 3",
        "weiche_dns_answers_total{by=\"server\",code=\"nxdomain\"} 1",
        "weiche_dns_answers_total{by=\"kernel\",code=\"noerror\"} 7",
        "weiche_dns_answers_total{by=\"kernel\",code=\"nxdomain\"} 0",
        "weiche_dns_shadow_total{outcome=\"same\"} 1",
        "weiche_services{state=\"programmed\"} 4",
        "weiche_refused_parts{reason=\"taken\"} 2",
        "weiche_unreadable_objects{kind=\"Service\"} 3",
        "weiche_unreadable_objects{kind=\"Node\"} 0",
        "weiche_packets_total{hook=\"ingress\",reason=\"forwarded\"} 42",
        "weiche_map_entries{map=\"backends\"} 4",
        "weiche_map_capacity_entries{map=\"slots\"} 10",
        "weiche_map_pressure{map=\"flows_v4\"} 0.25",
        "weiche_map_nearly_full{map=\"flows_v4\"} 0",
        "weiche_map_nearly_full{map=\"backends\"} 1",
        "process_start_time_seconds 1764000000",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn buckets_are_those_of_kube_proxy() {
    let text = full().text().unwrap();
    let bounds = |name: &str| {
        let start = format!("{name}_bucket{{le=\"");
        let bounds = text.lines().filter_map(|line| {
            let bound = line.strip_prefix(&start)?.split('"').next()?;
            bound.parse::<f64>().ok().filter(|bound| bound.is_finite())
        });
        bounds.collect::<Vec<_>>()
    };
    let sync = bounds("kubeproxy_sync_proxy_rules_duration_seconds");
    assert_eq!((sync.len(), sync[0], sync[14]), (15, 0.001, 16.384));
    let programming = bounds("kubeproxy_network_programming_duration_seconds");
    assert_eq!(programming[..4], [0.25, 0.5, 1.0, 2.0]);
    assert_eq!(programming[60..64], [59.0, 60.0, 65.0, 70.0]);
    assert_eq!(
        programming[72..],
        [115.0, 120.0, 150.0, 180.0, 210.0, 240.0, 270.0, 300.0]
    );
    let calls = bounds("rest_client_request_duration_seconds");
    assert_eq!(
        calls,
        [
            0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0
        ]
    );
}

#[test]
fn a_reason_that_is_gone_is_told_no_more() {
    let metrics = full();
    metrics.round(&Report {
        listed: true,
        ..Report::default()
    });
    assert!(!metrics.text().unwrap().contains("weiche_refused_parts{"));
}

#[test]
fn nothing_is_told_before_everything_is_listed() {
    let metrics = metrics();
    metrics.round(&Report::default());
    let text = metrics.text().unwrap();
    assert!(
        text.contains("kubeproxy_sync_proxy_rules_duration_seconds_count 0"),
        "{text}"
    );
}

#[test]
fn the_document_names_every_metric() {
    let text = full().text().unwrap();
    let mut helps = BTreeMap::new();
    let mut rows = String::new();
    for line in text.lines() {
        if let Some((name, help)) = described(line, "# HELP ") {
            helps.insert(name, help.trim_end_matches('.'));
        } else if let Some((name, kind)) = described(line, "# TYPE ") {
            let total = if kind == "counter" { "_total" } else { "" };
            let labels = labels(&text, &format!("{name}{total}"));
            let help = helps[name];
            writeln!(rows, "| `{name}{total}` | {kind} | {labels} | {help} |").unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let told = document.lines().filter(|line| line.starts_with("| `"));
    let told = told.fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(
        told, rows,
        "the table of docs/metrics.md should be:\n{rows}"
    );
}

fn described<'a>(line: &'a str, what: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(what)?.split_once(' ')
}

/// Names of the labels of a metric's first sample.
fn labels(text: &str, name: &str) -> String {
    let sample = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let inside = sample
        .and_then(|rest| rest.split('}').next())
        .unwrap_or_default();
    let names = inside.split(',').filter_map(|label| label.split_once('='));
    names
        .map(|(name, _)| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
