// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the cluster's nodes are is in the maps, whatever else there is, and whatever fails. So are
//! node ports on what this node's links have, where they may be.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use lb_common::wire::Node;
use lb_userspace::{
    config::NodePortRange,
    maps::{Store as _, faulty::Faulty, memory::Memory},
    model::{Change, Kind, Name, NodeObject, ServiceKind},
    plan::Rules,
    reconcile::{Reconciler, Settings},
};
use tests::control::{AMPLE, journal::Journal, objects};

#[test]
fn where_they_are_is_written_when_it_changes_and_until_it_is() {
    let mut store = Journal::new(Faulty::new(Memory::new(AMPLE), 0, 1));
    let settings = Settings::new("node-a", Node::default());
    let mut reconciler = Reconciler::restore(&store, &settings).expect("memory can be read");
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Node] {
        reconciler.note(Change::Listing(kind));
    }
    let gone = Change::NodeGone("node-b".into());
    let [services, slices, nodes] =
        [Kind::Service, Kind::EndpointSlice, Kind::Node].map(Change::Listed);
    for (now_ns, (what, change, per_mille, lasts, calls)) in (1..).map(|it| it * SECOND_NS).zip([
        ("nothing is listed", node("node-a", &[1]), 0, &[][..], 0),
        ("another one", node("node-b", &[2, 3]), 0, &[], 0),
        ("Services are listed", services, 0, &[], 0),
        ("slices are listed", slices, 0, &[], 0),
        // With the node's settings, ranges and counter.
        ("all is listed", nodes.clone(), 0, &[1, 2, 3], 3),
        ("a new one", node("node-c", &[4]), 0, &[1, 2, 3, 4], 1),
        (
            "it beats its heart",
            node("node-c", &[4]),
            0,
            &[1, 2, 3, 4],
            0,
        ),
        (
            "one loses an address",
            node("node-b", &[2]),
            0,
            &[1, 2, 4],
            1,
        ),
        ("one goes, and writing fails", gone, 1_000, &[1, 2, 4], 1),
        (
            "and again",
            Change::Listing(Kind::Node),
            1_000,
            &[1, 2, 4],
            1,
        ),
        ("then it does not", node("node-a", &[1]), 0, &[1, 4], 1),
        ("a list without one ends", nodes, 0, &[1], 1),
    ]) {
        store.store.set_per_mille(per_mille);
        store.calls = 0;
        reconciler.note(change);
        reconciler.sync(&mut store, now_ns);
        let addresses = lasts.iter().map(|last| IpAddr::from([192, 0, 2, *last]));
        let addresses: BTreeSet<_> = addresses.collect();
        assert_eq!(*store.store.store.nodes(), addresses, "{what}");
        assert_eq!(store.calls, calls, "{what}: {:?}", store.writes);
        let failures = reconciler.report().failures;
        let failed = failures.iter().map(|failure| &*failure.about);
        let wanted = (per_mille > 0).then_some("the addresses of the cluster's nodes");
        assert_eq!(failed.collect::<Vec<_>>(), Vec::from_iter(wanted), "{what}");
        assert_eq!(
            reconciler.next_due_ns(now_ns).is_some(),
            per_mille > 0,
            "{what}"
        );
    }
}

#[test]
fn node_ports_follow_what_links_have() {
    let mut store = Memory::new(AMPLE);
    let rules = Rules {
        node_ports: vec![NodePortRange::All],
        ..Rules::default()
    };
    let settings = Settings {
        rules,
        ..Settings::new("node-a", Node::default())
    };
    let mut reconciler = Reconciler::restore(&store, &settings).expect("memory can be read");
    let mut service = objects::service(Name::new("default", "alpaca"), [10, 96, 0, 1].into());
    service.kind = ServiceKind::NodePort;
    service.ports[0].node_port = NODE_PORT;
    reconciler.note(held(&[9]));
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Node] {
        reconciler.note(Change::Listing(kind));
        reconciler.note(Change::Listed(kind));
    }
    let service = Change::Service(Arc::new(service));
    for (now_ns, (what, change, lasts)) in (1..).map(|it| it * SECOND_NS).zip([
        ("links are known first", service, &[9][..]),
        ("a Node object", node("node-a", &[1]), &[1, 9]),
        ("a link has that as well", held(&[1, 9]), &[1, 9]),
        ("another address comes", held(&[1, 8, 9]), &[1, 8, 9]),
        ("one goes", held(&[1, 8]), &[1, 8]),
        (
            "the object goes",
            Change::NodeGone("node-a".into()),
            &[1, 8],
        ),
        ("no link has any", held(&[]), &[]),
    ]) {
        reconciler.note(change);
        reconciler.sync(&mut store, now_ns);
        let all = store.frontends().expect("memory can be read");
        let served = all.into_iter().map(|(frontend, _)| frontend);
        let served = served.filter(|it| it.port == NODE_PORT && it.is_dialled());
        let served: BTreeSet<_> = served.map(|frontend| frontend.address).collect();
        let addresses = lasts.iter().map(|last| IpAddr::from([192, 0, 2, *last]));
        assert_eq!(served, addresses.collect(), "{what}");
    }
    let entries = store.frontends().expect("memory can be read");
    let mut of_addresses = entries.iter().filter(|(it, _)| it.is_of_address());
    let [of_service] = [1].map(|last| IpAddr::from([10, 96, 0, last]));
    assert!(
        of_addresses.all(|(it, _)| it.address == of_service),
        "what else is at the node's addresses is the node's: {entries:?}"
    );
}

const NODE_PORT: u16 = 30_080;

fn held(lasts: &[u8]) -> Change {
    let addresses = lasts.iter().map(|last| IpAddr::from([192, 0, 2, *last]));
    Change::Addresses(addresses.collect())
}

/// Longer than anything is kept.
const SECOND_NS: u64 = 1_000_000_000;

fn node(name: &str, lasts: &[u8]) -> Change {
    let addresses = lasts.iter().map(|last| IpAddr::from([192, 0, 2, *last]));
    Change::Node(Arc::new(NodeObject {
        name: name.into(),
        addresses: addresses.collect(),
        zone: None,
        leaving: false,
    }))
}
