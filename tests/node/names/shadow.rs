// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--kernel-dns=shadow`: a cluster's DNS pod answers, and each answer is compared with what the
//! kernel would have said.

use std::{
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::{names::Query, netns::Pod, wait};

use super::{DNS, PATIENCE};
use crate::cluster::Cluster;

/// What the DNS pod says: the first label of a name, its address, and what comparing comes to.
const ANSWERS: [(&str, Option<Ipv4Addr>, &str); 4] = [
    ("shop", Some(Ipv4Addr::new(10, 96, 0, 20)), "same"),
    ("nobody", None, "same"),
    ("lonely", Some(Ipv4Addr::new(10, 96, 0, 99)), "different"),
    // A headless Service: its addresses are not the kernel's to know.
    ("db", Some(Ipv4Addr::new(10, 1, 0, 7)), "left"),
];

#[test]
fn the_answers_that_come_are_compared() -> anyhow::Result<()> {
    for direct in ["off", "on"] {
        let mut cluster = Cluster::set(1)?;
        let pod = cluster.scene.backends.first().context("a backend")?;
        serve(pod)?;
        for object in objects(pod) {
            cluster.server.put(object);
        }
        let direct = format!("--direct-delivery={direct}");
        cluster
            .scene
            .start_agent(&["--kernel-dns=shadow", &direct])?;
        let socket = cluster.scene.client.namespace.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect((DNS[0], 53))?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            anyhow::Ok(socket)
        })??;
        wait::until("the DNS pod", PATIENCE, || {
            ask(&socket, 1, "elsewhere").ok()
        })?;
        for (id, (label, address, _)) in (2..).zip(ANSWERS) {
            let found = ask(&socket, id, label).with_context(|| label.to_owned())?;
            assert_eq!(found, address, "the pod's own answer");
        }
        let mut tally = Value::Null;
        let compared = wait::until("the comparison", PATIENCE, || {
            tally = cluster.scene.status().ok()?["status"]["shadow"].clone();
            let count = |what: &str| tally[what].as_u64().unwrap_or(0);
            let mut outcomes = ANSWERS.iter().map(|(_, _, outcome)| outcome);
            outcomes
                .all(|outcome| count(outcome) >= wanted(outcome))
                .then_some(())
        });
        compared.with_context(|| format!("{tally}: {}", cluster.scene.last_words()))?;
        check(&tally)?;
        let ends = cluster.scene.weiche.ends()?;
        assert_eq!(
            ends.count("ingress", "name_found"),
            0,
            "the kernel answers nothing"
        );
    }
    Ok(())
}

/// How many of the questions come to an outcome, that for a name outside the domain included.
fn wanted(outcome: &str) -> u64 {
    let of_it = ANSWERS.iter().filter(|(_, _, it)| *it == outcome);
    u64::try_from(of_it.count()).unwrap_or(0) + u64::from(outcome == "left")
}

fn check(tally: &Value) -> anyhow::Result<()> {
    for outcome in ["same", "different"] {
        ensure!(tally[outcome] == wanted(outcome), "{tally}");
    }
    ensure!(tally["unread"] == 0, "{tally}");
    let last = json!({
        "question": "lonely.default.svc.cluster.local. A",
        "kernel": "NOERROR 10.96.0.21",
        "server": "NOERROR 10.96.0.99",
    });
    ensure!(tally["last"] == last, "{tally}");
    Ok(())
}

/// The DNS Service with its pod, the Services that are asked for, and their Namespace.
fn objects(pod: &Pod) -> Vec<Value> {
    let service = |namespace: &str, name: &str, address: &str, port: u16| {
        json!({
            "kind": "Service", "metadata": {"namespace": namespace, "name": name},
            "spec": {
                "clusterIP": address, "clusterIPs": [address],
                "ports": [{"name": "dns", "port": port, "protocol": "UDP"}],
            },
        })
    };
    let slice = |namespace: &str, service: &str, address: &str, port: u16| {
        json!({
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "namespace": namespace, "name": format!("{service}-1"),
                "labels": {"kubernetes.io/service-name": service},
            },
            "endpoints": [{"addresses": [address]}],
            "ports": [{"name": "dns", "port": port, "protocol": "UDP"}],
        })
    };
    vec![
        json!({"kind": "Namespace", "metadata": {"name": "default"}}),
        service("kube-system", "kube-dns", DNS[0], 53),
        service("default", "shop", "10.96.0.20", 80),
        service("default", "lonely", "10.96.0.21", 80),
        json!({
            "kind": "Service", "metadata": {"name": "db"},
            "spec": {"clusterIP": "None", "ports": [{"port": 80}]},
        }),
        slice("kube-system", "kube-dns", &pod.v4.to_string(), 53),
        slice("default", "db", "10.1.0.7", 80),
    ]
}

/// Answers in a pod, as long as the test runs.
fn serve(pod: &Pod) -> anyhow::Result<()> {
    let address = pod.v4;
    let socket = pod.namespace.run(|| UdpSocket::bind((address, 53)))??;
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            if let Some(answer) = answer(&query[..length]) {
                let _client_gone = socket.send_to(&answer, client);
            }
        }
    });
    Ok(())
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let label = query.get(13..13 + usize::from(*query.get(12)?))?;
    let known = ANSWERS.iter().find(|(name, ..)| name.as_bytes() == label);
    let address = known.and_then(|(_, address, _)| *address);
    let mut answer = query.to_vec();
    let (code, count) = if address.is_some() { (0, 1) } else { (3, 0) };
    answer[2..12].copy_from_slice(&[0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    if let Some(address) = address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// The address of a name, if it has one.
fn ask(socket: &UdpSocket, id: u16, label: &str) -> anyhow::Result<Option<Ipv4Addr>> {
    let domain = if label == "elsewhere" {
        "example.com"
    } else {
        "default.svc.cluster.local"
    };
    let query = Query::of(&format!("{label}.{domain}"), 1).id(id);
    socket.send(&query.bytes())?;
    let mut answer = [0; 512];
    let length = loop {
        let length = socket.recv(&mut answer)?;
        // One that came too late is another question's.
        if length > 12 && answer[..2] == id.to_be_bytes() {
            break length;
        }
    };
    ensure!(answer[2] & 0x80 != 0, "no answer");
    let last: [u8; 4] = answer[length - 4..length].try_into()?;
    Ok((answer[7] == 1).then(|| last.into()))
}
