// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows: an object as people write it, and what of it counts.

use serde_json::{Value, json};

use super::*;
use crate::model::{EndpointSlice, Protocol};

/// A converted Service, and how many things were ignored.
fn service_of(spec: &Value) -> (ServiceObject, usize) {
    converted(json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}))
}

fn converted(object: Value) -> (ServiceObject, usize) {
    let object: Service = serde_json::from_value(object).expect("a Service");
    let mut ignored = Vec::new();
    let service = service(&object, &mut ignored).expect("a name");
    (service, ignored.len())
}

fn addresses_of(texts: &[IpAddr]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn cluster_ips() {
    for (spec, addresses, headless, ignored) in [
        (json!({}), &[][..], false, 0),
        (json!({"clusterIP": "10.0.0.1"}), &["10.0.0.1"], false, 0),
        (
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]}),
            &["10.0.0.1", "fd00::1"],
            false,
            0,
        ),
        (
            json!({"clusterIPs": ["010.0.0.01"]}),
            &["10.0.0.1"],
            false,
            0,
        ),
        (
            json!({"clusterIPs": ["10.0.0.1", "10.0.0.1"]}),
            &["10.0.0.1"],
            false,
            1,
        ),
        (
            json!({"clusterIPs": ["nonsense", "fd00::1"]}),
            &["fd00::1"],
            false,
            1,
        ),
        (json!({"clusterIP": ""}), &[], false, 0),
        (json!({"clusterIP": "None"}), &[], true, 0),
        (
            json!({"clusterIP": "None", "clusterIPs": ["None"]}),
            &[],
            true,
            0,
        ),
        (
            json!({"type": "ExternalName", "clusterIP": "10.0.0.1"}),
            &[],
            false,
            0,
        ),
    ] {
        let (service, said) = service_of(&spec);
        assert_eq!(addresses_of(&service.cluster_ips), addresses, "{spec}");
        assert_eq!((service.headless, said), (headless, ignored), "{spec}");
    }
}

#[test]
fn ports() {
    for (port, want) in [
        (json!({"port": 80}), Some(("", Protocol::Tcp, 80, 0))),
        (
            json!({"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}),
            Some(("dns", Protocol::Udp, 53, 30_053)),
        ),
        (
            json!({"port": 9, "protocol": "SCTP"}),
            Some(("", Protocol::Sctp, 9, 0)),
        ),
        (json!({"port": 0}), None),
        (json!({"port": -1}), None),
        (json!({"port": 65536}), None),
        (json!({"port": 80, "protocol": "ICMP"}), None),
        (json!({"port": 80, "protocol": "tcp"}), None),
    ] {
        let (service, said) = service_of(&json!({"ports": [port]}));
        let found = service.ports.first();
        let found = found.map(|it| (&*it.name, it.protocol, it.port, it.node_port));
        assert_eq!(found, want, "{port}");
        assert_eq!(said, usize::from(want.is_none()), "{port}");
    }
    let (service, said) = service_of(&json!({"ports": [{"port": 80, "nodePort": 70_000}]}));
    assert_eq!((service.ports[0].node_port, said), (0, 1));
}

#[test]
fn policies_affinity_and_kinds() {
    let client = |seconds: u32| Affinity::ClientIp { seconds };
    let timeout = |seconds: i32| json!({"clientIP": {"timeoutSeconds": seconds}});
    for (spec, want, ignored) in [
        (json!({}), Affinity::None, 0),
        (json!({"sessionAffinity": "None"}), Affinity::None, 0),
        (json!({"sessionAffinity": "ClientIP"}), client(10_800), 0),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": timeout(30)}),
            client(30),
            0,
        ),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": timeout(0)}),
            client(10_800),
            1,
        ),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": timeout(86_401)}),
            client(10_800),
            1,
        ),
        (json!({"sessionAffinity": "clientIP"}), Affinity::None, 1),
    ] {
        let (service, said) = service_of(&spec);
        assert_eq!((service.affinity, said), (want, ignored), "{spec}");
    }
    for (text, want, ignored) in [
        (Value::Null, Policy::Cluster, 0),
        ("Cluster".into(), Policy::Cluster, 0),
        ("Local".into(), Policy::Local, 0),
        ("local".into(), Policy::Cluster, 1),
    ] {
        let spec = json!({"externalTrafficPolicy": text});
        let (service, said) = service_of(&spec);
        assert_eq!((service.external_policy, said), (want, ignored), "{text}");
        let (service, said) = service_of(&json!({"internalTrafficPolicy": text}));
        assert_eq!((service.internal_policy, said), (want, ignored), "{text}");
    }
    for (text, want, ignored) in [
        (Value::Null, ServiceKind::ClusterIp, 0),
        ("NodePort".into(), ServiceKind::NodePort, 0),
        ("LoadBalancer".into(), ServiceKind::LoadBalancer, 0),
        ("ExternalName".into(), ServiceKind::ExternalName, 0),
        ("Balancer".into(), ServiceKind::ClusterIp, 1),
    ] {
        let (service, said) = service_of(&json!({"type": text}));
        assert_eq!((service.kind, said), (want, ignored), "{text}");
    }
}

#[test]
fn labels_identity_and_balancers() {
    let (service, said) = converted(json!({
        "metadata": {
            "name": "web",
            "uid": "u-1",
            "creationTimestamp": "1970-01-01T00:01:40Z",
            "labels": {
                "service.kubernetes.io/headless": "",
                "service.kubernetes.io/service-proxy-name": "other",
            },
        },
        "spec": {"clusterIP": "10.0.0.1", "externalIPs": ["192.0.2.1"]},
        "status": {"loadBalancer": {"ingress": [
            {"ip": "198.51.100.1"},
            {"ip": "198.51.100.2", "ipMode": "VIP"},
            {"ip": "198.51.100.3", "ipMode": "Proxy"},
            {"hostname": "example.org"},
        ]}},
    }));
    assert_eq!(service.name, Name::new("default", "web"));
    assert_eq!((&*service.uid, service.created_s, said), ("u-1", 100, 0));
    assert!(service.headless);
    assert_eq!(service.proxy_name.as_deref(), Some("other"));
    assert_eq!(addresses_of(&service.cluster_ips), ["10.0.0.1"]);
    assert_eq!(addresses_of(&service.external_ips), ["192.0.2.1"]);
    assert_eq!(
        addresses_of(&service.load_balancer_ips),
        ["198.51.100.1", "198.51.100.2"]
    );
    let nameless = Service::default();
    assert_eq!(super::service(&nameless, &mut Vec::new()), None);
}

fn slice_of(mut object: Value) -> (Option<EndpointSlice>, usize) {
    if object["metadata"].is_null() {
        object["metadata"] = json!({
            "name": "web-1", "labels": {"kubernetes.io/service-name": "web"},
        });
    }
    let object = serde_json::from_value(object).expect("a slice");
    let mut ignored = Vec::new();
    let slice = slice(&object, &mut ignored);
    (slice, ignored.len())
}

#[test]
fn conditions_follow_the_nil_rules() {
    for (conditions, ready, serving, terminating) in [
        (Value::Null, true, true, false),
        (json!({}), true, true, false),
        (json!({"ready": null}), true, true, false),
        (json!({"ready": false}), false, true, false),
        (
            json!({"ready": false, "serving": true, "terminating": true}),
            false,
            true,
            true,
        ),
        (json!({"ready": true, "serving": false}), true, false, false),
    ] {
        let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": conditions});
        let (slice, said) = slice_of(json!({"addressType": "IPv4", "endpoints": [endpoint]}));
        let slice = slice.expect("a slice");
        let it = &slice.endpoints[0];
        let found = (it.ready, it.serving, it.terminating, said);
        assert_eq!(found, (ready, serving, terminating, 0), "{conditions}");
    }
}

#[test]
fn only_first_addresses_of_the_right_family_count() {
    for (family, addresses, want, ignored) in [
        (
            "IPv4",
            json!(["10.0.0.1", "10.0.0.2"]),
            &["10.0.0.1"][..],
            0,
        ),
        ("IPv4", json!(["010.0.0.1"]), &["10.0.0.1"], 0),
        ("IPv4", json!(["fd00::1", "10.0.0.1"]), &[], 1),
        ("IPv4", json!([]), &[], 1),
        ("IPv6", json!(["fd00::1"]), &["fd00::1"], 0),
        ("IPv6", json!(["10.0.0.1"]), &[], 1),
        ("IPv6", json!(["fd00::g"]), &[], 1),
    ] {
        let endpoint = json!({"addresses": addresses});
        let (slice, said) = slice_of(json!({"addressType": family, "endpoints": [endpoint]}));
        let slice = slice.expect("a slice");
        let found: Vec<IpAddr> = slice.endpoints.iter().map(|it| it.address).collect();
        assert_eq!(
            (addresses_of(&found), said),
            (want.iter().map(ToString::to_string).collect(), ignored)
        );
    }
}

#[test]
fn row_48_slices_say_when_their_change_happened() {
    for (text, want) in [
        (
            "2026-11-24T10:00:00.5Z",
            Some(1_795_514_400_500_000_000_u64),
        ),
        ("2026-11-24T11:00:00+01:00", Some(1_795_514_400_000_000_000)),
        ("1960-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ] {
        let annotations = json!({"endpoints.kubernetes.io/last-change-trigger-time": text});
        let (slice, said) = slice_of(json!({
            "metadata": {
                "name": "web-1",
                "labels": {"kubernetes.io/service-name": "web"},
                "annotations": annotations,
            },
            "addressType": "IPv4",
        }));
        let found = slice.expect("a slice").triggered_ns;
        assert_eq!((found, said), (want, 0), "{text:?}");
    }
}

#[test]
fn slices_that_are_nobodys_or_hold_names_are_left_out() {
    let nobodys = json!({"metadata": {"name": "x"}, "addressType": "IPv4"});
    assert_eq!(slice_of(nobodys), (None, 0));
    assert_eq!(slice_of(json!({"addressType": "FQDN"})), (None, 1));
    // As the API server sends a slice without endpoints.
    let empty = json!({"addressType": "IPv4", "endpoints": null, "ports": null});
    assert_eq!(slice_of(empty).0.map(|it| it.endpoints.len()), Some(0));
}

#[test]
fn slice_ports_need_a_name_and_a_number() {
    for (port, want) in [
        (
            json!({"name": "", "port": 80}),
            Some(("", Protocol::Tcp, 80)),
        ),
        (
            json!({"name": "d", "port": 53, "protocol": "UDP"}),
            Some(("d", Protocol::Udp, 53)),
        ),
        (json!({"port": 80}), None),
        (json!({"name": "all"}), None),
        (json!({"name": "zero", "port": 0}), None),
        (json!({"name": "odd", "port": 80, "protocol": "X"}), None),
    ] {
        let (slice, said) = slice_of(json!({"addressType": "IPv4", "ports": [port]}));
        let slice = slice.expect("a slice");
        let found = slice
            .ports
            .first()
            .map(|it| (&*it.name, it.protocol, it.port));
        assert_eq!((found, said), (want, usize::from(want.is_none())), "{port}");
    }
}

#[test]
fn endpoints_carry_place_and_hints() {
    let (slice, _) = slice_of(json!({"addressType": "IPv4", "endpoints": [{
        "addresses": ["10.0.0.1"],
        "nodeName": "n",
        "zone": "z",
        "hints": {"forZones": [{"name": "b"}, {"name": "a"}], "forNodes": [{"name": "n"}]},
    }]}));
    let slice = slice.expect("a slice");
    let place = &slice.endpoints[0].place;
    assert_eq!(
        (place.node.as_deref(), place.zone.as_deref()),
        (Some("n"), Some("z"))
    );
    assert_eq!(
        place.hint_zones.iter().map(|it| &**it).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        place.hint_nodes.iter().map(|it| &**it).collect::<Vec<_>>(),
        ["n"]
    );
}

#[test]
fn nodes() {
    let object = json!({
        "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}},
        "status": {"addresses": [
            {"type": "Hostname", "address": "n"},
            {"type": "ExternalIP", "address": "192.0.2.1"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "InternalIP", "address": "nonsense"},
        ]},
    });
    let object: Node = serde_json::from_value(object).expect("a Node");
    let mut ignored = Vec::new();
    let node = node(&object, &mut ignored).expect("a name");
    assert_eq!(
        (&*node.name, node.zone.as_deref(), ignored.len()),
        ("n", Some("z"), 1)
    );
    assert!(!node.leaving);
    assert_eq!(
        addresses_of(&node.addresses),
        ["10.0.0.1", "fd00::1", "192.0.2.1"]
    );
}

#[test]
fn nodes_that_are_about_to_go() {
    let deleted = json!({"name": "n", "deletionTimestamp": "2026-11-24T10:00:00Z"});
    let named = json!({"name": "n"});
    let taint = |key| json!({"taints": [{"key": key, "effect": "NoSchedule", "value": "1"}]});
    for (metadata, spec, leaving) in [
        (&named, json!({}), false),
        (&named, taint("node.kubernetes.io/unreachable"), false),
        (&named, taint("ToBeDeletedByClusterAutoscaler"), true),
        (&deleted, json!({}), true),
    ] {
        let object = json!({"metadata": metadata, "spec": spec});
        let object: Node = serde_json::from_value(object).expect("a Node");
        let node = node(&object, &mut Vec::new()).expect("a name");
        assert_eq!(node.leaving, leaving, "{metadata} {spec}");
    }
}
