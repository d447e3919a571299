// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names: pods ask the DNS Service's address, and resolvers that are not ours judge the answers.

mod away;
mod glibc;
mod kernel;
mod limits;
mod neighbours;
mod pause;
mod restart;
mod shadow;
mod soon;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tests::{netns::Outside, wait};

use crate::scene::Scene;

/// The DNS Service's addresses, as in most clusters, and of the other family.
const DNS: [&str; 2] = ["10.96.0.10", "fd00:10:96::a"];
/// The node's addresses.
const LISTEN: &str = "192.0.2.10,2001:db8::10";
const PATIENCE: Duration = Duration::from_secs(30);

/// What names stand for is the same that the unit tests of the zone have.
const MANIFESTS: &str = include_str!("../../lb-userspace/src/dns/testing.yaml");

const DNS_SERVICE: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIPs: [10.96.0.10, 'fd00:10:96::a']
  ipFamilyPolicy: RequireDualStack
  ports:
    - {name: dns, port: 53, protocol: UDP}
    - {name: dns-tcp, port: 53}
";

/// The specification, each row of it; what is below `.cluster.local.` is left out.
const SPECIFICATION: &[(&str, &str, &str)] = &[
    ("dns-version", "TXT", "NOERROR \"1.1.0\""),
    ("shop.default.svc", "A", "NOERROR 10.96.0.20"),
    ("shop.default.svc", "AAAA", "NOERROR fd00:10:96::20"),
    ("SHOP.DEFAULT.svc", "A", "NOERROR 10.96.0.20"),
    ("lonely.default.svc", "A", "NOERROR 10.96.0.21"),
    ("lonely.default.svc", "AAAA", "NOERROR"),
    (
        "_http._tcp.shop.default.svc",
        "SRV",
        "NOERROR 0 100 80 shop.default.svc.cluster.local.",
    ),
    (
        "_dns._udp.shop.default.svc",
        "SRV",
        "NOERROR 0 100 53 shop.default.svc.cluster.local.",
    ),
    ("_http._udp.shop.default.svc", "SRV", "NXDOMAIN"),
    ("db.default.svc", "A", "NOERROR 10.1.0.7 10.1.0.8"),
    ("db.default.svc", "AAAA", "NOERROR fd00:1::7"),
    ("db-0.db.default.svc", "A", "NOERROR 10.1.0.7"),
    ("db-0.db.default.svc", "AAAA", "NOERROR fd00:1::7"),
    ("DB-0.Db.default.svc", "A", "NOERROR 10.1.0.7"),
    ("db-1.db.default.svc", "A", "NXDOMAIN"),
    ("db-2.db.default.svc", "A", "NXDOMAIN"),
    ("10-1-0-8.db.default.svc", "A", "NOERROR 10.1.0.8"),
    (
        "_sql._tcp.db.default.svc",
        "SRV",
        "NOERROR 0 50 5432 10-1-0-8.db.default.svc.cluster.local. \
      0 50 5432 db-0.db.default.svc.cluster.local.",
    ),
    ("early.default.svc", "A", "NOERROR 10.1.0.9"),
    ("asleep.default.svc", "A", "NXDOMAIN"),
    (
        "alias.default.svc",
        "A",
        "NOERROR 10.96.0.20 shop.default.svc.cluster.local.",
    ),
    ("docs.default.svc", "CNAME", "NOERROR docs.example.com."),
    ("_http._tcp.docs.default.svc", "SRV", "NXDOMAIN"),
    ("docs-0.docs.default.svc", "A", "NXDOMAIN"),
    (
        "docs.default.svc",
        "A",
        "NOERROR 203.0.113.7 docs.example.com.",
    ),
    ("no.default.svc", "A", "NXDOMAIN"),
    ("no.default.svc", "AAAA", "NXDOMAIN"),
    ("no.default.svc", "MX", "NXDOMAIN"),
    ("shop.default.svc", "MX", "NOERROR"),
    ("shop.default.svc", "SRV", "NOERROR"),
    // Neither wildcards nor, since 1.1.0, names of Pods.
    ("*.default.svc", "A", "NXDOMAIN"),
    ("10-1-0-7.default.pod", "A", "NXDOMAIN"),
    ("DNS-Version", "TXT", "NOERROR \"1.1.0\""),
    (
        "_HTTP._TCP.shop.default.svc",
        "SRV",
        "NOERROR 0 100 80 shop.default.svc.cluster.local.",
    ),
    ("default.svc", "A", "NOERROR"),
    ("svc", "A", "NOERROR"),
    ("empty.svc", "A", "NOERROR"),
    ("no.svc", "A", "NXDOMAIN"),
];

/// Reverse names, and what is not the cluster's.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "20.0.96.10.in-addr.arpa.",
        "PTR",
        "NOERROR shop.default.svc.cluster.local.",
    ),
    (
        "7.0.1.10.in-addr.arpa.",
        "PTR",
        "NOERROR db-0.db.default.svc.cluster.local.",
    ),
    (
        "8.0.1.10.in-addr.arpa.",
        "PTR",
        "NOERROR 10-1-0-8.db.default.svc.cluster.local.",
    ),
    (
        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.IP6.arpa.",
        "PTR",
        "NOERROR db-0.db.default.svc.cluster.local.",
    ),
    (
        "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.",
        "PTR",
        "NOERROR shop.default.svc.cluster.local.",
    ),
    ("www.example.com.", "A", "NOERROR 203.0.113.7"),
];

fn scene() -> anyhow::Result<Scene> {
    scene_with(&[])
}

/// The scene with further flags.
fn scene_with(flags: &[&str]) -> anyhow::Result<Scene> {
    let mut scene = Scene::set(1, tests::netns::RpFilter::Off)?;
    scene.write("names", &[MANIFESTS, DNS_SERVICE].concat())?;
    let upstream = Outside::V4.to_string();
    let names = ["--dns-listen", LISTEN, "--dns-upstream", &upstream];
    scene.start_agent(&[&names[..], flags].concat())?;
    scene.wait_for_backends(1)?;
    Ok(scene)
}

/// What `dig` says in the client's pod: the status, then the records' data in order.
fn dig(scene: &Scene, words: &[&str]) -> anyhow::Result<String> {
    let text = dig_whole(scene, words)?;
    let status = text
        .split("status: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let status = status.with_context(|| format!("no answer: {text}"))?;
    let records = text
        .lines()
        .filter(|line| !line.starts_with(';') && !line.is_empty());
    let data = records.map(|line| {
        line.split_whitespace()
            .skip(4)
            .collect::<Vec<_>>()
            .join(" ")
    });
    let mut data: Vec<String> = data.collect();
    data.sort();
    data.insert(0, status.to_owned());
    Ok(data.join(" "))
}

fn dig_whole(scene: &Scene, words: &[&str]) -> anyhow::Result<String> {
    let mut command = scene.client.namespace.command("dig");
    command.args(["+noall", "+comments", "+answer", "+time=3", "+tries=1"]);
    let output = command.args(words).output().context("starting dig")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Columns are apart by tabs and blanks, as it happens.
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_specification_holds_for_a_resolver_that_is_not_ours() -> anyhow::Result<()> {
    let scene = scene()?;
    let upstream = Upstream::start(&scene)?;
    let below = SPECIFICATION.iter();
    let below = below.map(|(name, kind, data)| (format!("{name}.cluster.local."), *kind, *data));
    let others = OTHERS
        .iter()
        .map(|(name, kind, data)| ((*name).to_owned(), *kind, *data));
    let mut rows = 0;
    for (name, kind, expected) in below.chain(others) {
        for server in DNS {
            for way in ["+notcp", "+tcp"] {
                // What is asked of others by TCP has nobody there.
                if way == "+tcp" && expected.contains("203.0.113.7") {
                    continue;
                }
                let found = dig(&scene, &[&format!("@{server}"), way, &name, kind])?;
                assert_eq!(found, expected, "{name} {kind} @{server} {way}");
                rows += 1;
            }
        }
    }
    assert!(rows > 100, "{rows}");
    let asked = upstream.asked();
    let ports: std::collections::BTreeSet<u16> = asked.iter().map(|(port, _)| *port).collect();
    let ids: std::collections::BTreeSet<u16> = asked.iter().map(|(_, id)| *id).collect();
    assert!(asked.len() >= 4, "{asked:?}");
    assert!(ports.len() > 1 && ids.len() > 1, "{asked:?}");
    Ok(())
}

#[test]
fn answers_look_as_people_expect_them() -> anyhow::Result<()> {
    let scene = scene()?;
    let server = format!("@{}", DNS[0]);
    let whole = |words: &[&str]| dig_whole(&scene, &[&[server.as_str()], words].concat());
    let plain = whole(&["+noedns", "shop.default.svc.cluster.local.", "A"])?;
    for expected in [
        "opcode: QUERY, status: NOERROR",
        "flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0",
        "shop.default.svc.cluster.local. 30 IN A 10.96.0.20",
    ] {
        assert!(plain.contains(expected), "{expected} in {plain}");
    }
    let edns = whole(&["+edns=0", "shop.default.svc.cluster.local.", "A"])?;
    assert!(
        edns.contains("; EDNS: version: 0, flags:; udp: 1232"),
        "{edns}"
    );
    let negative = whole(&["+authority", "no.default.svc.cluster.local.", "A"])?;
    let soa = "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. ";
    assert!(negative.contains(soa), "{negative}");
    for (words, expected) in [
        (&["+noedns", "chaos", "txt", "version.bind"][..], "REFUSED"),
        (
            &[
                "+edns=1",
                "+noednsnegotiation",
                "shop.default.svc.cluster.local.",
            ],
            "BADVERS",
        ),
        (
            &["+opcode=notify", "shop.default.svc.cluster.local."],
            "NOTIMP",
        ),
        (&["+header-only"], "FORMERR"),
    ] {
        let found = whole(words)?;
        assert!(
            found.contains(&format!("status: {expected}")),
            "{words:?}: {found}"
        );
    }
    Ok(())
}

#[test]
fn a_change_is_answered_soon_and_a_restart_forgets_nothing() -> anyhow::Result<()> {
    let mut scene = scene()?;
    let server = format!("@{}", DNS[0]);
    let ask = |scene: &Scene, name: &str| {
        dig(
            scene,
            &[&server, &format!("{name}.default.svc.cluster.local."), "A"],
        )
    };
    assert_eq!(ask(&scene, "late")?, "NXDOMAIN");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: late}\n\
                   spec: {clusterIP: 10.96.0.77, ports: [{port: 80}]}\n";
    scene.write("late", service)?;
    let written = Instant::now();
    wait::until("the name", PATIENCE, || {
        (ask(&scene, "late").ok()? == "NOERROR 10.96.0.77").then_some(())
    })?;
    println!(
        "a name was there {:?} after its manifest",
        written.elapsed()
    );
    wait::until("the name to be kept", PATIENCE, || {
        let names: Vec<serde_json::Value> = scene.weiche.list(&["dns", "list"]).ok()?;
        let mut names = names.iter().map(|row| row["name"].clone());
        names
            .any(|name| name == "late.default.svc.cluster.local.")
            .then_some(())
    })?;
    scene.kill_agent()?;
    scene.start_agent(&["--dns-listen", LISTEN])?;
    wait::until("the name, again", PATIENCE, || {
        (ask(&scene, "late").ok()? == "NOERROR 10.96.0.77").then_some(())
    })
}

/// A server behind the uplink that knows one answer.
struct Upstream {
    asked: Arc<Mutex<Vec<(u16, u16)>>>,
}

impl Upstream {
    fn start(scene: &Scene) -> anyhow::Result<Self> {
        let outside = &scene.node.outside.namespace;
        let socket = outside.run(|| UdpSocket::bind((Outside::V4, 53)))??;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let Some(answer) = answer(&buffer[..length], client, &seen) else {
                    continue;
                };
                let _client_gone = socket.send_to(&answer, client);
            }
        });
        Ok(Self { asked })
    }

    /// The port and the id of each query.
    fn asked(&self) -> Vec<(u16, u16)> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The question, and `203.0.113.7` for it.
fn answer(query: &[u8], client: SocketAddr, asked: &Mutex<Vec<(u16, u16)>>) -> Option<Vec<u8>> {
    let id = u16::from_be_bytes([*query.first()?, *query.get(1)?]);
    let seen = &mut asked.lock().unwrap_or_else(PoisonError::into_inner);
    seen.push((client.port(), id));
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let mut answer = query.get(..12 + name + 5)?.to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend(Ipv4Addr::new(203, 0, 113, 7).octets());
    Some(answer)
}
