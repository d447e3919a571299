// SPDX-License-Identifier: MIT OR Apache-2.0
//! What changes of slices cost, and when they count as done.

use std::{net::IpAddr, sync::Arc};

use lb_common::wire::Node;
use lb_userspace::{
    maps::{Store, faulty::Faulty, memory::Memory},
    model::{Change, EndpointSlice, Kind, Name},
    reconcile::{Reconciler, Settings},
};
use tests::control::{AMPLE, journal::Journal, objects};

const GRACE_NS: u64 = 1_000_000_000;

/// The changes of one round are taken together, so an endpoint that leaves one slice and enters
/// another is there all the time, in whichever order the slices come.
#[test]
fn row_19_an_endpoint_moves_between_slices_without_a_write() {
    let before = [slice("web-1", &[1, 2], None), slice("web-2", &[3], None)];
    let after = [slice("web-1", &[1], None), slice("web-2", &[2, 3], None)];
    let [first, second] = after;
    for moved in [[first.clone(), second.clone()], [second, first]] {
        let mut store = Journal::new(Memory::new(AMPLE));
        let mut reconciler = started(&store, before.clone());
        reconciler.sync(&mut store, 0);
        reconciler.sync(&mut store, GRACE_NS);
        // The port, and its address.
        assert_eq!(store.frontends().expect("memory").len(), 2);
        store.writes.clear();
        for change in moved {
            reconciler.note(change);
        }
        reconciler.sync(&mut store, GRACE_NS * 2);
        reconciler.sync(&mut store, GRACE_NS * 3);
        assert_eq!(store.writes, []);
    }
}

/// `network_programming_duration_seconds` is measured from the trigger to the write.
#[test]
fn row_48_the_trigger_time_is_carried_to_the_write() {
    let mut store = Faulty::new(Memory::new(AMPLE), 0, 1);
    let mut reconciler = started(&store, [slice("web-1", &[1], Some(10))]);
    reconciler.sync(&mut store, 0);
    let none: [u64; 0] = [];
    assert_eq!(reconciler.take_programmed(), none, "older than the agent");

    store.set_per_mille(1_000);
    reconciler.note(slice("web-1", &[1, 2], Some(20)));
    reconciler.note(slice("web-1", &[1, 2, 3], Some(30)));
    reconciler.sync(&mut store, GRACE_NS);
    assert_eq!(reconciler.take_programmed(), none, "nothing is written");

    store.set_per_mille(0);
    reconciler.sync(&mut store, GRACE_NS * 100);
    assert_eq!(reconciler.take_programmed(), [20, 30]);
    assert_eq!(reconciler.take_programmed(), none, "each is told once");

    reconciler.note(slice("web-1", &[1, 2, 3], Some(40)));
    reconciler.sync(&mut store, GRACE_NS * 101);
    assert_eq!(
        reconciler.take_programmed(),
        [40],
        "there was nothing to do"
    );
    reconciler.note(Change::SliceGone(Name::new("default", "web-1")));
    reconciler.sync(&mut store, GRACE_NS * 102);
    assert_eq!(reconciler.take_programmed(), none, "nobody knows when");
}

/// An agent that has been told one Service and these slices, and nothing else.
fn started(store: &impl Store, slices: impl IntoIterator<Item = Change>) -> Reconciler {
    let settings = Settings::new("node-a", Node::default());
    let mut reconciler = Reconciler::restore(store, &settings).expect("memory can be read");
    let kinds = [Kind::Service, Kind::EndpointSlice, Kind::Node];
    let begin = kinds.map(Change::Listing).into_iter();
    let end = kinds.map(Change::Listed);
    for change in begin.chain([service()]).chain(slices).chain(end) {
        reconciler.note(change);
    }
    reconciler
}

fn service() -> Change {
    let name = Name::new("default", "web");
    let service = objects::service(name, IpAddr::from([10, 96, 0, 10]));
    Change::Service(Arc::new(service))
}

fn slice(name: &str, lasts: &[u8], triggered_ns: Option<u64>) -> Change {
    let endpoint = |last: &u8| objects::endpoint(IpAddr::from([10, 244, 0, *last]));
    let endpoints = lasts.iter().map(endpoint).collect();
    Change::Slice(Arc::new(EndpointSlice {
        triggered_ns,
        ..objects::slice(Name::new("default", name), "web", endpoints)
    }))
}
