// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which entries there are for what comes out of tunnels, and who is to send it.

use super::*;
use crate::{
    model::Forwarding,
    plan::{External, forwarding},
};
use lb_common::wire::Service;

/// A Service with every kind of address, seen from one of two nodes with an endpoint each.
struct Case {
    service: ServiceObject,
    forwarding: Forwarding,
    node: NodeFacts,
    /// Where its endpoints are.
    places: [Option<&'static str>; 2],
}

impl Case {
    fn usual() -> Self {
        let port = ServicePort {
            node_port: 30_080,
            ..port("http", 80)
        };
        Self {
            service: ServiceObject {
                kind: ServiceKind::LoadBalancer,
                load_balancer_ips: vec![IpAddr::from([203, 0, 113, 1])],
                external_ips: vec![IpAddr::from([203, 0, 113, 2])],
                source_ranges: Some(vec!["198.51.100.0/24".parse().expect("a range")]),
                ..service(vec![port])
            },
            forwarding: Forwarding::Snat,
            node: NodeFacts {
                name: "node-a".into(),
                addresses: vec![IpAddr::from([192, 0, 2, 1])],
                ..NodeFacts::default()
            },
            places: [Some("node-a"), Some("node-b")],
        }
    }

    fn plan(&self) -> Plan {
        let endpoints = (1..).zip(self.places).map(|(last, node)| Endpoint {
            place: Arc::new(Place {
                node: node.map(Arc::from),
                ..Place::default()
            }),
            ..endpoint(last, true, true, false)
        });
        let slice = slice("a", 8_080, endpoints.collect());
        let rules = Rules {
            external_ips: true,
            forwarding: self.forwarding,
            ..Rules::default()
        };
        let around = Surroundings {
            node: &self.node,
            rules: &rules,
            service_at: &|_| None,
        };
        crate::plan::plan(&self.service, [&slice], around)
    }

    /// All entries, table by table: what they say, and how many of how many backends are chosen.
    fn entries(&self) -> Vec<String> {
        let words = [
            (Service::ELSEWHERE, "elsewhere"),
            (Service::SPLIT, "split"),
            (Service::RANGES, "ranges"),
            (Service::IPIP, "ipip"),
            (Service::GENEVE, "geneve"),
        ];
        let mut entries = Vec::new();
        for table in tables(&self.plan()) {
            let known = table.backends.iter().count();
            let chosen = table.backends.chosen().count();
            for frontend in &table.frontends {
                let flags = table.flags_at(*frontend);
                let said = words.iter().filter(|(flag, _)| flags & flag != 0);
                let said: Vec<_> = said.map(|(_, word)| *word).collect();
                let said = said.join(" ");
                entries.push(format!("{frontend} {said}: {chosen} of {known}").replace(" :", ":"));
            }
        }
        entries
    }

    fn problems(&self) -> Vec<Fault> {
        let problems = self.plan().problems.into_iter();
        problems.map(|problem| problem.fault).collect()
    }
}

const CLUSTER_IP: &str = "10.96.0.10:80/TCP: 2 of 2";

const TUNNELS: [&str; 3] = [
    "0.0.0.0:30080/TCP from a tunnel: 1 of 1",
    "203.0.113.1:80/TCP from a tunnel: 1 of 1",
    "203.0.113.2:80/TCP from a tunnel: 1 of 1",
];

const PLAIN: [&str; 3] = [
    "192.0.2.1:30080/TCP: 2 of 2",
    "203.0.113.1:80/TCP ranges: 2 of 2",
    "203.0.113.2:80/TCP: 2 of 2",
];

const IPIP: [&str; 3] = [
    "192.0.2.1:30080/TCP ipip: 2 of 2",
    "203.0.113.1:80/TCP ranges ipip: 2 of 2",
    "203.0.113.2:80/TCP ipip: 2 of 2",
];

const GENEVE: [&str; 3] = [
    "192.0.2.1:30080/TCP geneve: 2 of 2",
    "203.0.113.1:80/TCP ranges geneve: 2 of 2",
    "203.0.113.2:80/TCP geneve: 2 of 2",
];

#[test]
fn who_is_sent_through_a_tunnel_is_said_by_service_and_node() {
    use Forwarding::{Geneve, Ipip, Snat};
    for (of_service, of_node, external) in [
        (None, Snat, PLAIN),
        (None, Ipip, IPIP),
        (None, Geneve, GENEVE),
        (Some(Snat), Geneve, PLAIN),
        (Some(Ipip), Snat, IPIP),
        (Some(Geneve), Ipip, GENEVE),
    ] {
        let mut case = Case::usual();
        case.service.forwarding = of_service;
        case.forwarding = of_node;
        // Whoever sends none takes those of the others.
        let wanted = [CLUSTER_IP].into_iter().chain(external).chain(TUNNELS);
        let wanted: Vec<_> = wanted.collect();
        assert_eq!(case.entries(), wanted, "{of_service:?} {of_node:?}");
        assert_eq!(case.problems(), [], "{of_service:?} {of_node:?}");
    }
}

#[test]
fn tunnels_are_for_whom_all_endpoints_serve() {
    let (cluster, local) = (Policy::Cluster, Policy::Local);
    let short_cut = [
        CLUSTER_IP,
        "192.0.2.1:30080/TCP split: 2 of 2",
        "203.0.113.1:80/TCP split ranges: 2 of 2",
        "203.0.113.2:80/TCP split: 2 of 2",
        "192.0.2.1:30080/TCP from outside: 1 of 2",
        "203.0.113.1:80/TCP from outside ranges: 1 of 2",
        "203.0.113.2:80/TCP from outside: 1 of 2",
    ];
    // One table for both: the Cluster-IP's remembers all endpoints.
    let both = [
        IPIP[0],
        IPIP[1],
        IPIP[2],
        "0.0.0.0:30080/TCP from a tunnel: 1 of 2",
        "10.96.0.10:80/TCP: 1 of 2",
        "203.0.113.1:80/TCP from a tunnel: 1 of 2",
        "203.0.113.2:80/TCP from a tunnel: 1 of 2",
    ];
    let node_port = [CLUSTER_IP, IPIP[0], TUNNELS[0]];
    for (kind, internal, external, wanted) in [
        (ServiceKind::LoadBalancer, cluster, local, &short_cut[..]),
        (ServiceKind::LoadBalancer, local, cluster, &both),
        (ServiceKind::NodePort, cluster, cluster, &node_port),
        (ServiceKind::ClusterIp, cluster, cluster, &[CLUSTER_IP]),
    ] {
        let mut case = Case::usual();
        case.forwarding = Forwarding::Ipip;
        case.service.kind = kind;
        case.service.internal_policy = internal;
        case.service.external_policy = external;
        if kind != ServiceKind::LoadBalancer {
            case.service.external_ips.clear();
        }
        assert_eq!(case.entries(), wanted, "{kind:?} {internal:?} {external:?}");
        assert_eq!(case.problems(), [], "{kind:?} {internal:?} {external:?}");
    }
}

#[test]
fn tunnels_lead_to_nodes() {
    let (both, one, none) = (
        [Some("node-a"), Some("node-b")],
        [Some("node-a"), None],
        [None; 2],
    );
    let (cluster, local) = (Policy::Cluster, Policy::Local);
    let (snat, geneve) = (Forwarding::Snat, Forwarding::Geneve);
    let fault = Fault::NoNodeName { wanted: geneve };
    for (places, policy, wanted, count, fault) in [
        (both, cluster, geneve, 6, None),
        (one, cluster, geneve, 0, Some(&fault)),
        (none, cluster, geneve, 0, Some(&fault)),
        (none, cluster, snat, 0, None),
        (none, local, geneve, 0, None),
    ] {
        let mut case = Case::usual();
        // Two tables, and what is wrong with them is said once.
        case.service.ports.push(ServicePort {
            node_port: 30_081,
            ..port("http", 81)
        });
        case.service.external_policy = policy;
        (case.forwarding, case.places) = (wanted, places);
        let entries = case.entries();
        let found = entries.iter().filter(|entry| entry.contains("geneve"));
        assert_eq!(found.count(), count, "{places:?} {policy:?}: {entries:?}");
        let problems = case.problems();
        assert_eq!(problems.iter().collect::<Vec<_>>(), Vec::from_iter(fault));
    }
}

#[test]
fn node_ports_come_out_of_tunnels_once_for_each_family() {
    let of_tunnels = |case: &Case| {
        let mut entries = case.entries();
        entries.retain(|entry| entry.contains("30080/TCP from a tunnel"));
        entries
    };
    let (v4, v6) = (TUNNELS[0], "[::]:30080/TCP from a tunnel: 0 of 0");
    let away = "0.0.0.0:30080/TCP from a tunnel elsewhere: 0 of 0";
    let first = IpAddr::from([10, 96, 0, 10]);
    let second: IpAddr = "fd00:96::10".parse().expect("an address");
    let [here, there] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
    for (cluster_ips, addresses, place, wanted) in [
        (&[first][..], &[][..], "node-a", &[v4][..]),
        (&[first], &[here, there], "node-a", &[v4]),
        (&[first, second], &[here], "node-a", &[v4, v6]),
        (&[second], &[here], "node-a", &[v6]),
        (&[first], &[here], "node-c", &[away]),
    ] {
        let mut case = Case::usual();
        case.service.cluster_ips = cluster_ips.to_vec();
        case.node.addresses = addresses.to_vec();
        case.places = [Some(place), Some("node-b")];
        assert_eq!(of_tunnels(&case), wanted, "{cluster_ips:?} {addresses:?}");
    }
    let mut case = Case::usual();
    case.service.ports[0].node_port = 0;
    assert_eq!(of_tunnels(&case), [""; 0], "without node ports");
}

#[test]
fn nobody_dials_what_is_for_tunnels() {
    let plan = Case::usual().plan();
    for table in tables(&plan) {
        let dialled = table.external.iter().filter(|it| it.is_dialled());
        let count = dialled.count() + table.cluster_ips().count();
        assert_eq!(table.asked().count(), count);
        let is_odd = |it: &&External| !it.is_dialled() && it.ranges.is_some();
        assert_eq!(table.external.iter().find(is_odd), None);
    }
    assert_eq!(tables(&plan).flat_map(|table| table.asked()).count(), 4);
}

#[test]
fn an_entry_says_what_was_planned() {
    for wanted in Forwarding::ALL {
        let flags = forwarding::flag(wanted) | Service::SPLIT;
        assert_eq!(forwarding::said(flags), wanted);
    }
}
