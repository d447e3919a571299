// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows: a Service, Pods, and the endpoints.

use super::*;
use crate::watch::standalone::parse::{ManifestKind, parse, typed};

/// Slices as `name[ports] address/flags@node`, flags of ready, serving, terminating.
fn check(what: &str, manifests: &str, families: &[Family], slices: &[&str], waiting: &[&str]) {
    let parsed = parse("m.yaml", manifests);
    assert!(parsed.problems.is_empty(), "{what}: {:?}", parsed.problems);
    let of = |kind| {
        parsed
            .documents
            .iter()
            .filter(move |it| it.key.kind == kind)
    };
    let pods: Vec<(Name, Pod)> = of(ManifestKind::Pod)
        .map(|it| (it.key.name.clone(), typed(&it.value).expect("a Pod")))
        .collect();
    let zone = NodeObject {
        name: "n1".into(),
        addresses: Vec::new(),
        zone: Some("z1".into()),
        leaving: false,
    };
    let nodes = BTreeMap::from([(zone.name.clone(), Arc::new(zone))]);
    let mut pending = Vec::new();
    let mut found = Vec::new();
    for service in of(ManifestKind::Service) {
        let object: Service = typed(&service.value).expect("a Service");
        let index = Pods::index(pods.iter().map(|(name, pod)| (name, pod)));
        let name = &service.key.name;
        let computed = super::slices(name, &object, families, &index, &nodes, &mut pending);
        found.extend(computed.into_iter().flat_map(|computed| computed.slices));
    }
    let found: Vec<String> = found.iter().map(describe).collect();
    assert_eq!(found, slices, "{what}");
    let said: Vec<String> = pending
        .iter()
        .map(|it| format!("{} {}: {}", it.service, it.pod, it.reason))
        .collect();
    assert_eq!(said, waiting, "{what}");
}

fn describe(slice: &EndpointSlice) -> String {
    let port = |port: &SlicePort| format!("{}:{}/{}", port.name, port.port, port.protocol.name());
    let ports: Vec<String> = slice.ports.iter().map(port).collect();
    let head = format!("{}[{}]", slice.name.name, ports.join(","));
    let endpoints = slice.endpoints.iter().map(describe_endpoint);
    let words: Vec<String> = std::iter::once(head).chain(endpoints).collect();
    words.join(" ")
}

fn describe_endpoint(it: &Endpoint) -> String {
    let flag = |set: bool, letter: char| if set { letter } else { '-' };
    let (ready, serving) = (flag(it.ready, 'r'), flag(it.serving, 's'));
    let terminating = flag(it.terminating, 't');
    let place = &it.place;
    let node = place
        .node
        .as_ref()
        .map_or(String::new(), |node| format!("@{node}"));
    let zone = place
        .zone
        .as_ref()
        .map_or(String::new(), |zone| format!("/{zone}"));
    format!("{}/{ready}{serving}{terminating}{node}{zone}", it.address)
}

const V4: &[Family] = &[Family::V4];
const BOTH: &[Family] = &[Family::V4, Family::V6];

fn service(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{{spec}}}}}\n---\n")
}

fn pod(name: &str, more: &str, status: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web, n: {name}}}}}, \
         {more} status: {{{status}}}}}\n---\n"
    )
}

const READY: &str = "conditions: [{type: Ready, status: 'True'}]";

#[test]
fn pods_become_endpoints() {
    let web = service("selector: {app: web}, ports: [{port: 80, targetPort: 8080}]");
    let ready = |ip: &str| format!("podIPs: [{{ip: {ip}}}], {READY}");
    check(
        "ready ones, with node and zone",
        &(web.clone()
            + &pod("a", "spec: {nodeName: n1},", &ready("10.0.0.1"))
            + &pod("b", "spec: {nodeName: n2},", &ready("10.0.0.2"))),
        V4,
        &["web-weiche-v4[:8080/TCP] 10.0.0.1/rs-@n1/z1 10.0.0.2/rs-@n2"],
        &[],
    );
    check(
        "not Ready, without an address, finished, being deleted",
        &(web.clone()
            + &pod("a", "", "podIPs: [{ip: 10.0.0.1}]")
            + &pod("b", "", READY)
            + &pod("c", "", &format!("phase: Succeeded, {}", ready("10.0.0.3")))
            + &pod("d", "", &ready("10.0.0.4")).replace(
                "labels:",
                "deletionTimestamp: '2026-01-01T00:00:00Z', labels:",
            )),
        V4,
        &["web-weiche-v4[:8080/TCP] 10.0.0.1/--- 10.0.0.4/-st"],
        &[
            "default/web a: it is not Ready",
            "default/web b: it has no status.podIPs",
            "default/web d: it is being deleted",
        ],
    );
    check(
        "publishNotReadyAddresses",
        &(service("selector: {app: web}, publishNotReadyAddresses: true, ports: [{port: 80}]")
            + &pod("a", "", "podIP: 10.0.0.1")),
        V4,
        &["web-weiche-v4[:80/TCP] 10.0.0.1/r--"],
        &[],
    );
    check(
        "two families, the first address of each",
        &(web.clone()
            + &pod(
                "a",
                "",
                &format!("podIPs: [{{ip: fd00::1}}, {{ip: 10.0.0.1}}, {{ip: 10.0.0.9}}], {READY}"),
            )),
        BOTH,
        &[
            "web-weiche-v4[:8080/TCP] 10.0.0.1/rs-",
            "web-weiche-v6[:8080/TCP] fd00::1/rs-",
        ],
        &[],
    );
    check(
        "the other family's addresses are left out",
        &(web + &pod("a", "", &ready("fd00::1"))),
        V4,
        &[],
        &[],
    );
}

#[test]
fn selectors() {
    let pods = pod("a", "", &format!("podIP: 10.0.0.1, {READY}"))
        + &pod("b", "", &format!("podIP: 10.0.0.2, {READY}"));
    for (what, spec, slices) in [
        (
            "all labels count",
            "selector: {app: web, n: b}",
            &["web-weiche-v4[] 10.0.0.2/rs-"][..],
        ),
        ("one that no Pod has", "selector: {app: web, m: b}", &[]),
        ("an empty selector selects nothing", "selector: {}", &[]),
        ("no selector", "ports: [{port: 80}]", &[]),
        (
            "names only",
            "type: ExternalName, selector: {app: web}",
            &[],
        ),
    ] {
        check(what, &(service(spec) + &pods), V4, slices, &[]);
    }
    let elsewhere = service("selector: {app: web}").replace("name: web", "name: web, namespace: x");
    check("another namespace", &(elsewhere + &pods), V4, &[], &[]);
}

#[test]
fn named_ports_are_looked_up_in_each_pod() {
    let web = service(
        "selector: {app: web}, ports: [{name: h, port: 80, targetPort: http}, \
         {name: d, port: 53, protocol: UDP, targetPort: dns}]",
    );
    let ports = |http: u16| {
        format!(
            "spec: {{containers: [{{name: c, ports: [{{name: http, containerPort: {http}}}]}}], \
             initContainers: [{{name: s, restartPolicy: Always, ports: \
             [{{name: dns, protocol: UDP, containerPort: 5353}}]}}]}},"
        )
    };
    let ready = |ip: &str| format!("podIP: {ip}, {READY}");
    check(
        "numbers differ",
        &(web.clone()
            + &pod("a", &ports(8080), &ready("10.0.0.1"))
            + &pod("b", &ports(8081), &ready("10.0.0.2"))
            + &pod("c", &ports(8080), &ready("10.0.0.3"))),
        V4,
        &[
            "web-weiche-v4[h:8080/TCP,d:5353/UDP] 10.0.0.1/rs- 10.0.0.3/rs-",
            "web-weiche-v4-2[h:8081/TCP,d:5353/UDP] 10.0.0.2/rs-",
        ],
        &[],
    );
    check(
        "a Pod without the port",
        &(web + &pod("a", "", &ready("10.0.0.1"))),
        V4,
        &["web-weiche-v4[] 10.0.0.1/rs-"],
        &[
            "default/web a: none of its containers has a TCP port named \"http\"",
            "default/web a: none of its containers has a UDP port named \"dns\"",
        ],
    );
}
