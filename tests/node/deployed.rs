// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent as a cluster runs it: probes and metrics at the usual addresses, the API server where
//! `--master` says, and no more asked of it than the role in `deploy/` allows.

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::ensure;
use serde_json::{Value, json};
use tests::{
    api_server::ApiServer,
    netns::{Lab, Node, Process, RpFilter},
    openmetrics,
    rights::{allowed, asked},
    wait,
    weiche::Weiche,
};

use crate::{observe::curl, scene::program};

const LIMIT: Duration = Duration::from_secs(60);

/// This node, with these taints.
fn node_object(taints: &Value) -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": Node::NAME},
        "spec": {"taints": taints},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    })
}

#[test]
fn in_a_cluster_it_is_found_where_kube_proxy_is() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let server = node.namespace.run(ApiServer::start)??;
    server.put(node_object(&json!([])));
    let kubeconfig = lab.dir().join("kubeconfig");
    // Nobody is at the address in the file.
    let address = server.address().to_string();
    let unreachable = format!("{}:1", Ipv4Addr::LOCALHOST);
    fs::write(
        &kubeconfig,
        server.kubeconfig().replace(&address, &unreachable),
    )?;
    let weiche = Weiche::new(program()?.as_ref(), &lab)?;
    let mut command = node.namespace.command(&weiche.program);
    command.arg("run").arg("--kubeconfig").arg(&kubeconfig);
    command.arg(format!("--master=http://{address}"));
    command.arg(format!("--hostname-override={}", Node::NAME));
    command.args([
        "--proxy-mode=iptables",
        "--edge",
        "veth*",
        "--uplink",
        "eth0",
    ]);
    command.envs(weiche.variables());
    let log = lab.dir().join("log");
    command.stderr(fs::File::create(&log)?);
    let _agent = Process::spawn(&mut command)?;
    let here = &node.namespace;
    let ask = |path: &str| curl(here, &format!("http://127.0.0.1:10256{path}"));
    wait::until("readiness", LIMIT, || ask("/readyz").ok())?;
    ask("/livez")?;
    assert_eq!(
        serde_json::from_str::<Value>(&ask("/healthz")?)?["nodeEligible"],
        true
    );
    assert_eq!(asked(&server)?, allowed()?);
    let text = curl(here, "http://127.0.0.1:10249/metrics")?;
    let samples = openmetrics::parse(&text)?;
    let weak = openmetrics::value(&samples, "weiche_seed_weak", &[]);
    assert_eq!(weak, Some(1.0));
    let host = server.address().to_string();
    let labels = [("code", "200"), ("method", "GET"), ("host", &*host)];
    let answered = openmetrics::value(&samples, "rest_client_requests_total", &labels);
    ensure!(
        answered >= Some(6.0),
        "a list and a watch of each kind: {answered:?}"
    );

    let going = json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]);
    server.put(node_object(&going));
    wait::until("a node that is about to go", LIMIT, || {
        ask("/healthz").err()
    })?;
    ask("/livez")?;
    ask("/readyz")?;
    server.put(node_object(&json!([])));
    wait::until("a node that stays after all", LIMIT, || {
        ask("/healthz").ok()
    })?;
    let words = fs::read_to_string(&log)?;
    let warned = words.contains("--proxy-mode (Services are translated by BPF programs)");
    ensure!(warned, "{words}");
    Ok(())
}
