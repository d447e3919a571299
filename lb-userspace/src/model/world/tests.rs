// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams of changes, and whom they touch.

use std::{net::IpAddr, sync::Arc};

use super::{Touched, World};
use crate::model::{Change, Endpoint, EndpointSlice, Kind, Name, NodeObject, Place};

fn slice(name: &str, service: &str) -> Change {
    Change::Slice(Arc::new(plain(name, service)))
}

fn plain(name: &str, service: &str) -> EndpointSlice {
    EndpointSlice {
        name: Name::new("default", name),
        service: service.into(),
        endpoints: Vec::new(),
        ports: Vec::new(),
        proxy_name: None,
        headless: false,
        triggered_ns: None,
    }
}

fn node(name: &str, last: u8) -> Change {
    Change::Node(Arc::new(NodeObject {
        name: name.into(),
        addresses: vec![IpAddr::from([192, 0, 2, last])],
        zone: None,
        leaving: false,
    }))
}

fn services(names: &[&str]) -> Touched {
    Touched::Services(
        names
            .iter()
            .map(|name| Name::new("default", name))
            .collect(),
    )
}

fn check(world: &mut World, what: &str, change: Change, touched: &Touched) {
    assert_eq!(world.apply(change), *touched, "{what}");
}

#[test]
fn a_slice_touches_its_service() {
    let mut world = World::new("node-a");
    check(
        &mut world,
        "new",
        slice("s", "alpaca"),
        &services(&["alpaca"]),
    );
    check(
        &mut world,
        "the same again",
        slice("s", "alpaca"),
        &services(&[]),
    );
    let both = services(&["alpaca", "bandicoot"]);
    check(
        &mut world,
        "it changes hands",
        slice("s", "bandicoot"),
        &both,
    );
    let gone = Change::SliceGone(Name::new("default", "s"));
    check(&mut world, "gone", gone.clone(), &services(&["bandicoot"]));
    check(&mut world, "gone again", gone, &services(&[]));
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut world = World::new("node-a");
    for (name, service) in [("one", "alpaca"), ("two", "bandicoot")] {
        world.apply(slice(name, service));
    }
    let listing = Change::Listing(Kind::EndpointSlice);
    let listed = Change::Listed(Kind::EndpointSlice);
    check(&mut world, "a list begins", listing.clone(), &services(&[]));
    check(
        &mut world,
        "it names one",
        slice("one", "alpaca"),
        &services(&[]),
    );
    check(&mut world, "it begins anew", listing, &services(&[]));
    check(
        &mut world,
        "it names the other",
        slice("two", "bandicoot"),
        &services(&[]),
    );
    check(
        &mut world,
        "it ends",
        listed.clone(),
        &services(&["alpaca"]),
    );
    assert_eq!(world.slices(&Name::new("default", "alpaca")).count(), 0);
    assert_eq!(world.slices(&Name::new("default", "bandicoot")).count(), 1);
    check(&mut world, "it ends again", listed, &services(&[]));
}

#[test]
fn what_a_new_list_cannot_read_stays_as_it_was() {
    let mut world = World::new("node-a");
    for (name, service) in [("one", "alpaca"), ("two", "bandicoot")] {
        world.apply(slice(name, service));
    }
    world.apply(node("node-a", 1));
    let unreadable = |kind, name: &str| Change::Unreadable(kind, Name::new("default", name));
    for (change, touched) in [
        (Change::Listing(Kind::EndpointSlice), services(&[])),
        (unreadable(Kind::EndpointSlice, "two"), services(&[])),
        (unreadable(Kind::EndpointSlice, "new"), services(&[])),
        (Change::Listed(Kind::EndpointSlice), services(&["alpaca"])),
        (Change::Listing(Kind::Node), services(&[])),
        (unreadable(Kind::Node, "node-a"), services(&[])),
        (Change::Listed(Kind::Node), services(&[])),
    ] {
        let what = format!("{change:?}");
        check(&mut world, &what, change, &touched);
    }
    assert_eq!(world.slices(&Name::new("default", "bandicoot")).count(), 1);
    assert_eq!(world.node().addresses.len(), 1);
}

#[test]
fn all_is_listed_when_each_kind_has_been_once() {
    let mut world = World::new("node-a");
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Node] {
        assert!(!world.all_listed(), "before {kind:?}");
        world.apply(Change::Listing(kind));
        assert!(!world.all_listed(), "amid {kind:?}");
        world.apply(Change::Listed(kind));
    }
    assert!(world.all_listed());
    world.apply(Change::Listing(Kind::Service));
    assert!(world.all_listed(), "a second list does not undo the first");
}

#[test]
fn only_facts_of_this_node_touch_everything() {
    let mut world = World::new("node-a");
    check(
        &mut world,
        "another node",
        node("node-b", 2),
        &services(&[]),
    );
    check(&mut world, "ours", node("node-a", 1), &Touched::Everything);
    check(
        &mut world,
        "ours, as it was",
        node("node-a", 1),
        &services(&[]),
    );
    world.apply(Change::Listing(Kind::Node));
    let listed = Change::Listed(Kind::Node);
    check(
        &mut world,
        "a list without ours",
        listed,
        &Touched::Everything,
    );
    assert!(world.node().addresses.is_empty());
    assert_eq!(*world.node().name, *"node-a", "the name stays");
}

#[test]
fn all_nodes_are_where_their_objects_say() {
    let mut world = World::new("node-a");
    let gone = |name: &str| Change::NodeGone(name.into());
    let unreadable = Change::Unreadable(Kind::Node, Name::new("", "node-c"));
    let [listing, listed] = [Change::Listing(Kind::Node), Change::Listed(Kind::Node)];
    for (what, change, lasts, is_news) in [
        ("ours", node("node-a", 1), &[1][..], true),
        ("another", node("node-b", 2), &[1, 2], true),
        ("it beats its heart", node("node-b", 2), &[1, 2], false),
        ("it moves", node("node-b", 3), &[1, 3], true),
        ("two are at one", node("node-c", 3), &[1, 3], true),
        ("one of them goes", gone("node-b"), &[1, 3], true),
        ("nobody goes", gone("node-b"), &[1, 3], false),
        ("one comes back", node("node-b", 2), &[1, 2, 3], true),
        ("a list begins", listing.clone(), &[1, 2, 3], false),
        ("it names ours", node("node-a", 1), &[1, 2, 3], false),
        (
            "it has one that cannot be read",
            unreadable,
            &[1, 2, 3],
            false,
        ),
        ("it has a new one", node("node-d", 4), &[1, 2, 3, 4], true),
        ("it ends", listed.clone(), &[1, 3, 4], true),
        ("another begins", listing, &[1, 3, 4], false),
        ("it is empty", listed, &[], true),
    ] {
        let before = world.nodes().revision();
        world.apply(change);
        let addresses = lasts.iter().map(|last| IpAddr::from([192, 0, 2, *last]));
        assert_eq!(world.nodes().addresses(), addresses.collect(), "{what}");
        assert_eq!(world.nodes().revision() != before, is_news, "{what}");
    }
    assert!(!world.node_known());
}

#[test]
fn the_node_is_leaving_as_long_as_it_says_so() {
    let told = |name: &str, leaving| {
        Change::Node(Arc::new(NodeObject {
            name: name.into(),
            addresses: Vec::new(),
            zone: None,
            leaving,
        }))
    };
    let mut world = World::new("node-a");
    for (what, change, leaving) in [
        ("another one", told("node-b", true), false),
        ("this one", told("node-a", true), true),
        ("it is gone", Change::NodeGone("node-a".into()), true),
        ("it stays after all", told("node-a", false), false),
    ] {
        world.apply(change);
        assert_eq!(world.node_leaving(), leaving, "{what}");
    }
}

#[test]
fn objects_share_what_they_have_in_common() {
    let at = |node: &str, last| Endpoint {
        address: IpAddr::from([10, 0, 0, last]),
        ready: true,
        serving: true,
        terminating: false,
        hostname: None,
        place: Arc::new(Place {
            node: Some(node.into()),
            ..Place::default()
        }),
    };
    let mut world = World::new("node-a");
    for (name, endpoints) in [
        ("one", vec![at("node-a", 1), at("node-b", 2)]),
        ("two", vec![at("node-a", 3)]),
    ] {
        world.apply(Change::Slice(Arc::new(EndpointSlice {
            endpoints,
            ..plain(name, "alpaca")
        })));
    }
    let slices: Vec<_> = world.slices(&Name::new("default", "alpaca")).collect();
    let [one, two] = &*slices else {
        panic!("two slices: {slices:?}");
    };
    let place = |slice: &EndpointSlice, at: usize| slice.endpoints[at].place.clone();
    assert!(Arc::ptr_eq(&place(one, 0), &place(two, 0)), "one node");
    assert_ne!(place(one, 0), place(one, 1));
    assert!(Arc::ptr_eq(&one.service, &two.service), "one Service");
    assert!(Arc::ptr_eq(&one.name.namespace, &two.name.namespace));
}
