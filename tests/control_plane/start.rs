// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nothing is written before everything is known; then the loop writes, and says so.

use std::{net::IpAddr, sync::Arc, time::Duration};

use lb_common::wire::Node;
use lb_userspace::{
    maps::memory::Memory,
    model::{Change, Kind, NodeObject},
    reconcile::{Reconciler, Report, Settings, run},
};
use tests::{
    chance::Chance,
    control::{
        AMPLE,
        journal::Journal,
        worlds::{NODE, Objects},
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

#[test]
fn nothing_is_written_before_every_kind_is_listed() {
    let mut chance = Chance::new(1, 0);
    let settings = Settings::new(NODE, Node::default());
    let mut store = Journal::new(Memory::new(AMPLE));
    let mut reconciler = Reconciler::restore(&store, &settings).unwrap();
    let listing = Objects::random(&mut chance).listing(&mut chance);
    let (last, before) = listing.split_last().unwrap();
    for (now_ns, change) in (1..).zip(before) {
        reconciler.note(change.clone());
        reconciler.sync(&mut store, now_ns);
        assert_eq!(store.writes, [], "after {change:?}");
        assert_eq!(reconciler.next_due_ns(now_ns), None);
    }
    assert_eq!(*last, Change::Listed(Kind::Node));
    reconciler.note(last.clone());
    reconciler.sync(&mut store, 1_000);
    assert!(
        reconciler.report().services_programmed > 0,
        "this world has a Service"
    );
    assert!(!store.writes.is_empty());
}

#[tokio::test]
async fn the_loop_writes_and_reports_until_the_stream_ends() {
    let (sender, changes) = mpsc::channel(16);
    let (reports, mut reported) = watch::channel(Report::default());
    let settings = Settings::new(NODE, Node::default());
    let run = tokio::spawn(run::run(
        changes,
        Memory::new(AMPLE),
        settings,
        |_, _| {},
        move |report| {
            reports.send_replace(report);
        },
    ));
    let mut chance = Chance::new(1, 0);
    let objects = Objects::random(&mut chance);
    for change in objects.listing(&mut chance) {
        sender.send(change).await.unwrap();
    }
    let done = reported
        .wait_for(|report| report.listed && report.services_desired > 0 && report.pending == 0);
    let report = timeout(LIMIT, done)
        .await
        .expect("in time")
        .unwrap()
        .clone();
    assert_eq!(
        report.services_programmed, report.services_desired,
        "{report:?}"
    );
    assert!(report.last_sync_ns > 0);

    for change in objects.differences(&Objects::default(), &mut chance) {
        sender.send(change).await.unwrap();
    }
    // Nothing more comes, and what is retired goes nevertheless.
    let free = |report: &Report| report.chunks_free == AMPLE.chunks && report.pending == 0;
    timeout(LIMIT, reported.wait_for(free))
        .await
        .expect("in time")
        .unwrap();
    drop(sender);
    let end = timeout(LIMIT, run).await.expect("in time").unwrap();
    assert!(end.is_ok());
}

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_node_that_beats_its_heart_costs_nothing() {
    let mut chance = Chance::new(1, 0);
    let settings = Settings::new("another-node", Node::default());
    let mut store = Journal::new(Memory::new(AMPLE));
    let mut reconciler = Reconciler::restore(&store, &settings).unwrap();
    for change in Objects::random(&mut chance).listing(&mut chance) {
        reconciler.note(change);
    }
    reconciler.sync(&mut store, 1);
    reconciler.sync(&mut store, u64::MAX / 2);
    store.writes.clear();
    reconciler.note(Change::Node(Arc::new(NodeObject {
        name: NODE.into(),
        addresses: vec![IpAddr::from([192, 0, 2, 1])],
        zone: Some("another".into()),
        leaving: true,
    })));
    reconciler.sync(&mut store, u64::MAX / 2);
    assert_eq!(store.writes, []);
}
