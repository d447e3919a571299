// SPDX-License-Identifier: MIT OR Apache-2.0
//! What load balancers ask the node at a `healthCheckNodePort`, over HTTP and from outside: the
//! answer follows the endpoints that are ready here.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    netns::{Namespace, Node, RpFilter},
    wait,
};

use crate::{
    region::{FAR_NAME, NODE, Region},
    scene::{POD_PORT, PORT},
};

const ASKED: u16 = 30_900;
/// What `curl(1)` ends with where the connection was refused.
const REFUSED: i32 = 7;
const LIMIT: Duration = Duration::from_secs(30);

/// A Service with this policy.
fn service(policy: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: asked}}\nspec:\n  \
         type: LoadBalancer\n  clusterIPs: [10.96.0.9]\n  clusterIP: 10.96.0.9\n  \
         externalTrafficPolicy: {policy}\n  healthCheckNodePort: {ASKED}\n  \
         selector: {{app: asked}}\n  \
         ports: [{{port: {PORT}, nodePort: 30009, targetPort: {POD_PORT}}}]\n"
    )
}

/// A pod of the Service's on a node, which is ready or not.
fn pod(name: &str, address: &str, node: &str, is_ready: bool) -> String {
    let ready = if is_ready { "True" } else { "False" };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: asked}}}}\n\
         spec: {{nodeName: {node}, containers: [{{name: server, image: none}}]}}\nstatus:\n  \
         phase: Running\n  podIP: {address}\n  podIPs: [{{ip: {address}}}]\n  \
         conditions: [{{type: Ready, status: '{ready}'}}]\n"
    )
}

/// What the node answers at an address of its own: a status, and how many endpoints there are here;
/// none where nobody listens.
fn ask(from: &Namespace, node: SocketAddr) -> anyhow::Result<Option<(u16, String)>> {
    let mut command: Command = from.command("curl");
    let told = "%{http_code} %header{x-load-balancing-endpoint-weight}";
    command.args(["--silent", "--max-time", "10", "--output", "/dev/null"]);
    command.args(["--write-out", told, &format!("http://{node}/")]);
    let output = command.output().context("starting curl")?;
    if output.status.code() == Some(REFUSED) {
        return Ok(None);
    }
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{node}: {}: {said}", output.status);
    let (status, weight) = said.split_once(' ').context("two words")?;
    Ok(Some((status.parse()?, weight.to_owned())))
}

/// Waits until all of the node's addresses give this answer.
fn expect(region: &Region, expected: Option<(u16, &str)>) -> anyhow::Result<()> {
    for address in NODE {
        let node = SocketAddr::new(address, ASKED);
        let mut last = None;
        let found = wait::until("the answer", LIMIT, || {
            let answer = ask(&region.visitor, node);
            let as_expected = answer.as_ref().is_ok_and(|answer| {
                let answer = answer.as_ref();
                answer.map(|(status, weight)| (*status, &**weight)) == expected
            });
            last = Some(answer);
            as_expected.then_some(())
        });
        found.with_context(|| format!("{node}: {last:?}, not {expected:?}"))?;
    }
    Ok(())
}

#[test]
fn balancers_outside_are_told_how_many_endpoints_are_ready_here() -> anyhow::Result<()> {
    let mut region = Region::set(RpFilter::Strict)?;
    region.scene.write("asked", &service("Local"))?;
    region.scene.start_agent(&[])?;
    let scene = &region.scene;
    let write = |name: &str, address: &str, node: &str, is_ready: bool| {
        scene.write(name, &pod(name, address, node, is_ready))
    };
    expect(&region, Some((503, "0")))?;
    write("one", "10.244.0.21", Node::NAME, true)?;
    expect(&region, Some((200, "1")))?;
    // Those of others do not count.
    write("far", "10.245.0.2", FAR_NAME, true)?;
    write("two", "10.244.0.22", Node::NAME, true)?;
    expect(&region, Some((200, "2")))?;
    write("one", "10.244.0.21", Node::NAME, false)?;
    expect(&region, Some((200, "1")))?;
    write("two", "10.244.0.22", Node::NAME, false)?;
    expect(&region, Some((503, "0")))?;
    // Any node serves it: there is nothing to ask any more.
    scene.write("asked", &service("Cluster"))?;
    expect(&region, None)?;
    // The question is the host's, and never was a flow.
    ensure!(
        scene.counted("ingress", "forwarded")? == 0,
        "a balancer's question was translated"
    );
    Ok(())
}
