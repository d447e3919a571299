// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the specification says, name by name, from manifests.

use super::{Found, Share, Zone};
use crate::{
    dns::testing::{self, MANIFESTS},
    model::{Change, Name},
};
use hickory_proto::{
    rr::{Name as DomainName, RData, RecordType, rdata::SRV},
    serialize::binary::{BinDecodable as _, BinDecoder},
};
use std::str::FromStr as _;

fn zone() -> Zone {
    testing::zone(MANIFESTS)
}

const ALL: Share = Share {
    first: 0,
    room: 65_535,
};

/// What is found, in one line: the records in order, or what else there is to say.
fn found(zone: &Zone, name: &str, kind: &str) -> String {
    let name = DomainName::from_ascii(name).expect("a name");
    let kind = RecordType::from_str(kind).expect("a type");
    match zone.find(&name, kind, ALL) {
        Found::Unknown => "unknown".to_owned(),
        Found::Outside => "outside".to_owned(),
        Found::NoName => "no name".to_owned(),
        Found::NoData => "no data".to_owned(),
        Found::Alias(target) => format!("CNAME {target}"),
        Found::Data(data, _) => {
            let mut lines: Vec<String> = data.iter().map(text).collect();
            lines.sort();
            lines.join(", ")
        }
    }
}

/// As zone files have it.
fn text(data: &RData) -> String {
    match data {
        RData::Unknown {
            code: RecordType::SRV,
            rdata,
        } => {
            let server = SRV::read(&mut BinDecoder::new(&rdata.anything));
            server.expect("whole SRV data").to_string()
        }
        data => data.to_string(),
    }
}

/// Name, type, and what is found.
const SPECIFICATION: &[(&str, &str, &str)] = &[
    // 2.2: the version.
    ("dns-version.cluster.local.", "TXT", "1.1.0"),
    ("dns-version.cluster.local.", "A", "no data"),
    // 2.3.1: A and AAAA of a Service with a Cluster-IP, whatever is behind it.
    ("shop.default.svc.cluster.local.", "A", "10.96.0.20"),
    ("shop.default.svc.cluster.local.", "AAAA", "fd00:10:96::20"),
    ("SHOP.Default.SVC.Cluster.Local.", "A", "10.96.0.20"),
    ("lonely.default.svc.cluster.local.", "A", "10.96.0.21"),
    ("lonely.default.svc.cluster.local.", "AAAA", "no data"),
    ("shop.default.svc.cluster.local.", "TXT", "no data"),
    // 2.3.2: SRV of named ports.
    (
        "_http._tcp.shop.default.svc.cluster.local.",
        "SRV",
        "0 100 80 shop.default.svc.cluster.local.",
    ),
    (
        "_DNS._UDP.shop.default.svc.cluster.local.",
        "SRV",
        "0 100 53 shop.default.svc.cluster.local.",
    ),
    (
        "_http._udp.shop.default.svc.cluster.local.",
        "SRV",
        "no name",
    ),
    (
        "_http._sctp.shop.default.svc.cluster.local.",
        "SRV",
        "no name",
    ),
    ("http.tcp.shop.default.svc.cluster.local.", "SRV", "no name"),
    ("_http._tcp.shop.default.svc.cluster.local.", "A", "no data"),
    ("_tcp.shop.default.svc.cluster.local.", "SRV", "no data"),
    ("_tcp.lonely.default.svc.cluster.local.", "SRV", "no name"),
    // 2.3.3: reverse names.
    (
        "20.0.96.10.in-addr.arpa.",
        "PTR",
        "shop.default.svc.cluster.local.",
    ),
    ("20.0.96.10.IN-ADDR.arpa.", "A", "no data"),
    (V6_REVERSE, "PTR", "shop.default.svc.cluster.local."),
    ("99.0.96.10.in-addr.arpa.", "PTR", "outside"),
    ("0.96.10.in-addr.arpa.", "PTR", "outside"),
    // 2.4.1: A and AAAA of a headless Service: the ready endpoints.
    ("db.default.svc.cluster.local.", "A", "10.1.0.7, 10.1.0.8"),
    ("db.default.svc.cluster.local.", "AAAA", "fd00:1::7"),
    ("asleep.default.svc.cluster.local.", "A", "no name"),
    ("asleep.default.svc.cluster.local.", "AAAA", "no name"),
    ("early.default.svc.cluster.local.", "A", "10.1.0.9"),
    // ... and of their host names, or of what stands for one.
    ("db-0.db.default.svc.cluster.local.", "A", "10.1.0.7"),
    ("DB-0.db.default.svc.cluster.local.", "AAAA", "fd00:1::7"),
    ("10-1-0-8.db.default.svc.cluster.local.", "A", "10.1.0.8"),
    ("10-1-0-8.db.default.svc.cluster.local.", "AAAA", "no data"),
    ("db-9.db.default.svc.cluster.local.", "A", "no name"),
    ("db-0.shop.default.svc.cluster.local.", "A", "no name"),
    // 2.4.2: SRV of a headless Service: each endpoint at each named port.
    (
        "_sql._tcp.db.default.svc.cluster.local.",
        "SRV",
        "0 50 5432 10-1-0-8.db.default.svc.cluster.local., \
      0 50 5432 db-0.db.default.svc.cluster.local.",
    ),
    ("_tcp.db.default.svc.cluster.local.", "A", "no data"),
    (
        "_nosql._tcp.db.default.svc.cluster.local.",
        "SRV",
        "no name",
    ),
    // 2.4.3: reverse names of ready endpoints.
    (
        "7.0.1.10.in-addr.arpa.",
        "PTR",
        "db-0.db.default.svc.cluster.local.",
    ),
    (
        "8.0.1.10.in-addr.arpa.",
        "PTR",
        "10-1-0-8.db.default.svc.cluster.local.",
    ),
    ("6.0.1.10.in-addr.arpa.", "PTR", "outside"),
    // 2.5: other names.
    (
        "docs.default.svc.cluster.local.",
        "A",
        "CNAME docs.example.com.",
    ),
    (
        "docs.default.svc.cluster.local.",
        "CNAME",
        "CNAME docs.example.com.",
    ),
    (
        "_http._tcp.docs.default.svc.cluster.local.",
        "SRV",
        "no name",
    ),
    ("x.docs.default.svc.cluster.local.", "A", "no name"),
    // What is in between.
    ("cluster.local.", "A", "no data"),
    ("svc.cluster.local.", "A", "no data"),
    ("default.svc.cluster.local.", "A", "no data"),
    ("Empty.svc.cluster.local.", "A", "no data"),
    ("nowhere.svc.cluster.local.", "A", "no name"),
    ("shop.empty.svc.cluster.local.", "A", "no name"),
    ("shop.nowhere.svc.cluster.local.", "A", "no name"),
    ("nothing.default.svc.cluster.local.", "AAAA", "no name"),
    ("10-1-0-7.default.pod.cluster.local.", "A", "no name"),
    ("a.b.c.d.e.f.g.cluster.local.", "A", "no name"),
    ("www.example.com.default.svc.cluster.local.", "A", "no name"),
    // RFC 8482.
    ("shop.default.svc.cluster.local.", "ANY", "RFC8482 "),
    ("nothing.default.svc.cluster.local.", "ANY", "no name"),
    // Not ours.
    ("www.example.com.", "A", "outside"),
    ("local.", "A", "outside"),
    ("xcluster.local.", "A", "outside"),
    (".", "NS", "outside"),
];

#[test]
fn each_row_of_the_specification() {
    let zone = zone();
    for (name, kind, expected) in SPECIFICATION {
        assert_eq!(
            found(&zone, name, kind).trim(),
            expected.trim(),
            "{name} {kind}"
        );
    }
}

const V6_REVERSE: &str =
    "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.";

#[test]
fn before_the_first_list_nothing_is_said_of_the_cluster_s_names() {
    let origin = DomainName::from_ascii("cluster.local.").unwrap();
    let zone = Zone::new(&origin, 30);
    assert_eq!(
        found(&zone, "shop.default.svc.cluster.local.", "A"),
        "unknown"
    );
    assert_eq!(found(&zone, "20.0.96.10.in-addr.arpa.", "PTR"), "unknown");
    assert_eq!(found(&zone, "www.example.com.", "A"), "outside");
}

/// What a change leaves is what the world says, and it touches no other names.
#[test]
fn a_service_that_goes_takes_its_names_along_and_no_others() {
    let mut world = testing::world(MANIFESTS);
    let mut zone = zone();
    let serial = |zone: &Zone| zone.authority(&zone.origin().clone()).data.to_string();
    let before = serial(&zone);
    let shop = Name::new("default", "shop");
    zone.update(&world, [&shop], 2);
    assert_eq!(serial(&zone), before, "nothing has changed");
    world.apply(Change::ServiceGone(shop.clone()));
    zone.update(&world, [&shop], 2);
    assert_ne!(serial(&zone), before);
    assert_eq!(
        found(&zone, "shop.default.svc.cluster.local.", "A"),
        "no name"
    );
    assert_eq!(found(&zone, "20.0.96.10.in-addr.arpa.", "PTR"), "outside");
    assert_eq!(
        found(&zone, "lonely.default.svc.cluster.local.", "A"),
        "10.96.0.21"
    );
    let all: Vec<Name> = world
        .services()
        .map(|service| service.name.clone())
        .collect();
    for name in all {
        world.apply(Change::ServiceGone(name.clone()));
        zone.update(&world, [&name], 3);
    }
    assert_eq!(found(&zone, "default.svc.cluster.local.", "A"), "no name");
    assert!(zone.pointers.is_empty() && zone.namespaces.is_empty());
    let before = serial(&zone);
    world.apply(Change::NamespaceGone("empty".into()));
    world.apply(Change::Namespace("default".into()));
    zone.update(&world, [], 4);
    assert_ne!(serial(&zone), before);
    assert_eq!(found(&zone, "empty.svc.cluster.local.", "A"), "no name");
    assert_eq!(found(&zone, "default.svc.cluster.local.", "A"), "no data");
}

/// What an agent leaves to the next one says the same, until a world replaces it.
#[test]
fn names_are_kept_as_they_are_and_replaced_as_a_whole() {
    let before = zone();
    let mut zone = Zone::new(before.origin(), 30);
    let listed = serde_json::to_string(&before.list()).unwrap();
    zone.restore(&serde_json::from_str::<Vec<_>>(&listed).unwrap(), 1);
    assert_eq!(zone.namespaces, before.namespaces);
    assert_eq!(zone.pointers, before.pointers);
    assert_eq!(
        found(&zone, "nothing.default.svc.cluster.local.", "A"),
        "no name"
    );
    let world = testing::world(SECOND);
    zone.update(&world, [&Name::new("default", "copy")], 2);
    assert_eq!(
        zone.list().len(),
        0,
        "the new world has no ready endpoint, and nothing else"
    );
}

/// Addresses of hosts that several Services share have all their names.
#[test]
fn an_address_has_as_many_names_as_there_are() {
    let zone = testing::zone(&[MANIFESTS, SECOND].concat());
    let names = found(&zone, "7.0.1.10.in-addr.arpa.", "PTR");
    assert_eq!(
        names,
        "10-1-0-7.copy.default.svc.cluster.local., db-0.db.default.svc.cluster.local."
    );
}

const SECOND: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: copy}
spec: {clusterIP: None, selector: {app: db}}
";
