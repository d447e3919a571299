// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the control-plane scripts do not say of planning.

use std::{net::IpAddr, sync::Arc};

use lb_common::wire::BackendState;

use super::{BackendKey, Desired, Fault, Plan, Rules, Surroundings, Table, maglev};
use crate::model::{
    Affinity, Change, Endpoint, EndpointSlice, Name, NodeFacts, NodeObject, Place, Policy,
    Protocol, ServiceKind, ServiceObject, ServicePort, SlicePort, World,
};

mod tunnels;

/// A plan where no other Service is.
fn plan<'a>(
    service: &ServiceObject,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    node: &NodeFacts,
) -> Plan {
    let around = Surroundings {
        node,
        rules: &Rules::default(),
        service_at: &|_| None,
    };
    super::plan(service, slices, around)
}

fn service(ports: Vec<ServicePort>) -> ServiceObject {
    ServiceObject {
        name: Name::new("default", "alpaca"),
        uid: "".into(),
        created_s: 0,
        kind: ServiceKind::ClusterIp,
        cluster_ips: vec![IpAddr::from([10, 96, 0, 10])],
        ports,
        internal_policy: Policy::Cluster,
        external_policy: Policy::Cluster,
        affinity: Affinity::None,
        forwarding: None,
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: None,
        health_check_node_port: 0,
        proxy_name: None,
        headless: false,
        external_name: None,
    }
}

fn port(name: &str, port: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol: Protocol::Tcp,
        port,
        node_port: 0,
    }
}

fn endpoint(last: u8, ready: bool, serving: bool, terminating: bool) -> Endpoint {
    Endpoint {
        address: IpAddr::from([10, 244, 0, last]),
        ready,
        serving,
        terminating,
        hostname: None,
        place: Arc::default(),
    }
}

fn slice(name: &str, port: u16, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        name: Name::new("default", name),
        service: "alpaca".into(),
        endpoints,
        ports: vec![SlicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port,
        }],
        proxy_name: None,
        headless: false,
        triggered_ns: None,
    }
}

fn tables(plan: &Plan) -> impl Iterator<Item = &Arc<Table>> {
    plan.tables.iter().map(|(_, table)| table)
}

fn backends(plan: &Plan) -> Vec<(String, BackendState, bool)> {
    let table = tables(plan).next().expect("a table");
    let of = |(key, state): (BackendKey, BackendState)| {
        let chosen = table.backends.chosen().any(|it| it == key);
        (format!("{}:{}", key.address, key.port), state, chosen)
    };
    table.backends.iter().map(of).collect()
}

#[test]
fn an_endpoint_in_two_slices_counts_once_in_its_best_state() {
    let service = service(vec![port("http", 80)]);
    let old = slice(
        "a",
        8_080,
        vec![
            endpoint(1, false, true, true),
            endpoint(2, true, true, false),
        ],
    );
    let new = slice("b", 8_080, vec![endpoint(1, true, true, false)]);
    let node = NodeFacts::default();
    let wanted = vec![
        ("10.244.0.1:8080".to_owned(), BackendState::Active, true),
        ("10.244.0.2:8080".to_owned(), BackendState::Active, true),
    ];
    assert_eq!(backends(&plan(&service, [&old, &new], &node)), wanted);
    assert_eq!(backends(&plan(&service, [&new, &old], &node)), wanted);
}

#[test]
fn each_slice_resolves_a_named_port_for_its_own_endpoints() {
    let service = service(vec![port("http", 80)]);
    let one = slice("a", 8_080, vec![endpoint(1, true, true, false)]);
    let two = slice("b", 9_090, vec![endpoint(2, true, true, false)]);
    let addresses = backends(&plan(&service, [&one, &two], &NodeFacts::default()));
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(address, _, _)| address.as_str())
        .collect();
    assert_eq!(addresses, ["10.244.0.1:8080", "10.244.0.2:9090"]);
}

#[test]
fn port_zero_is_a_problem_of_its_object() {
    let service = service(vec![port("zero", 0), port("http", 80)]);
    let slice = slice("a", 0, vec![endpoint(1, true, true, false)]);
    let plan = plan(&service, [&slice], &NodeFacts::default());
    assert_eq!(tables(&plan).count(), 1);
    let problems: Vec<_> = plan.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "Service default/alpaca: port \"zero\" has the number 0 and is left out; \
             give the port a number from 1 to 65535",
            "EndpointSlice default/a: port \"http\" has the number 0; its endpoints are left out; \
             give the port a number from 1 to 65535",
        ]
    );
}

#[test]
fn ten_thousand_bad_ports_make_a_short_list() {
    let ports = (1..=10_000).map(|number| port(&format!("zero-{number}"), 0));
    let plan = plan(&service(ports.collect()), [], &NodeFacts::default());
    assert!(plan.tables.is_empty());
    assert_eq!(plan.problems.len(), 21);
    let more = Fault::More { count: 981 };
    assert!(plan.problems.iter().any(|problem| problem.fault == more));
}

#[test]
fn ten_thousand_ports_leave_room_for_others() {
    let ports = (1..=10_000).map(|number| port(&format!("p{number}"), number));
    let plan = plan(&service(ports.collect()), [], &NodeFacts::default());
    assert_eq!(tables(&plan).count(), 1_000);
    let faults: Vec<_> = plan.problems.iter().map(|problem| &problem.fault).collect();
    let fault = Fault::Ports {
        count: 10_000,
        most: 1_000,
    };
    assert_eq!(faults, [&fault]);
}

#[test]
fn ports_without_a_name_are_called_by_number() {
    let udp = ServicePort {
        protocol: Protocol::Udp,
        ..port("", 53)
    };
    let plan = plan(&service(vec![port("", 53), udp]), [], &NodeFacts::default());
    let labels: Vec<Arc<str>> = tables(&plan).map(|table| table.label.clone()).collect();
    assert_eq!(
        labels,
        ["default/alpaca:53".into(), "default/alpaca:53/udp".into()]
    );
}

#[test]
fn ports_whose_endpoints_are_all_elsewhere_are_counted_by_policy() {
    let (cluster, local) = (Policy::Cluster, Policy::Local);
    for (internal_policy, external_policy, node, counts) in [
        (cluster, cluster, "node-b", [0, 0]),
        (local, cluster, "node-b", [1, 0]),
        (cluster, local, "node-b", [0, 1]),
        (local, local, "node-b", [1, 1]),
        (local, local, "node-a", [0, 0]),
    ] {
        let service = ServiceObject {
            kind: ServiceKind::NodePort,
            internal_policy,
            external_policy,
            ..service(vec![ServicePort {
                node_port: 30_080,
                ..port("http", 80)
            }])
        };
        let endpoint = Endpoint {
            place: Arc::new(Place {
                node: Some(node.into()),
                ..Place::default()
            }),
            ..endpoint(1, true, true, false)
        };
        let mut world = World::new("node-a");
        let name = service.name.clone();
        world.apply(Change::Node(Arc::new(NodeObject {
            name: "node-a".into(),
            addresses: vec![IpAddr::from([192, 0, 2, 1])],
            zone: None,
            leaving: false,
        })));
        world.apply(Change::Service(Arc::new(service)));
        world.apply(Change::Slice(Arc::new(slice("a", 8_080, vec![endpoint]))));
        let mut desired = Desired::new(Rules::default());
        desired.replan(&world, &name);
        let found = desired.not_local(&name);
        assert_eq!(
            found, counts,
            "{internal_policy:?} {external_policy:?} {node}"
        );
    }
}

#[test]
fn slot_counts_are_whole_chunks_and_capped() {
    let rows = [
        (0, 0),
        (1, 128),
        (2, 256),
        (3, 512),
        (10, 1_024),
        (300, 32_768),
        (1_310, 131_072),
        (5_000, 131_072),
        (usize::MAX, 131_072),
    ];
    for (backends, slots) in rows {
        assert_eq!(maglev::slot_count(backends), slots, "{backends} backends");
    }
}
