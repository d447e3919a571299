// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche port-forward` in a cluster: through the API server, to pods that this machine does not
//! reach by itself.

use std::{
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::{
    api_server::Resource,
    netns::{Pod, Process},
    wait,
};

use crate::{
    cluster::Cluster,
    scene::{POD_PORT, PORT},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Two pods behind the Service, which say so.
fn cluster() -> anyhow::Result<Cluster> {
    let cluster = Cluster::set(2)?;
    for pod in &cluster.scene.backends {
        cluster.server.put(pod_object(pod));
    }
    put_slice(&cluster, &["web-1", "web-2"]);
    Ok(cluster)
}

fn pod_object(pod: &Pod) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": pod.name, "labels": {"app": "web"}},
        "status": {"podIP": pod.v4, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// The Service's IPv4 slice; these pods are ready.
fn put_slice(cluster: &Cluster, ready: &[&str]) {
    let endpoints = cluster.scene.backends.iter().map(|pod| {
        json!({
            "addresses": [pod.v4],
            "conditions": {"ready": ready.contains(&pod.name.as_str())},
            "targetRef": {"kind": "Pod", "name": pod.name},
        })
    });
    cluster.server.put(json!({
        "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-ipv4", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": [{"name": "tcp", "port": POD_PORT, "protocol": "TCP"}],
    }));
    cluster
        .server
        .delete(Resource::EndpointSlices, "default", "web-ipv6");
}

/// A local port that leads somewhere, until the value goes.
struct Forward<'a> {
    cluster: &'a Cluster,
    _process: Process,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl<'a> Forward<'a> {
    fn start(cluster: &'a Cluster, words: &[&str]) -> anyhow::Result<Self> {
        let mut command = command(cluster, words);
        let mut process = Process::spawn(command.stdout(Stdio::piped()))?;
        let stdout = process.child().stdout.take().context("no pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next().context("it has ended")??;
        let said = line.strip_prefix("Forwarding from ");
        let address = said.and_then(|rest| rest.split(' ').next());
        let address = address.with_context(|| line.clone())?.parse()?;
        Ok(Self {
            cluster,
            _process: process,
            lines,
            address,
        })
    }

    /// Whoever answers a line.
    fn ask(&self) -> anyhow::Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(b"1 1\n")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "it was hung up");
        let pod = answer.split_whitespace().next().context("nobody")?;
        Ok(pod.to_owned())
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let node = &self.cluster.scene.node.namespace;
        let stream = node.run(|| TcpStream::connect(self.address))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// The next thing that people are told.
    fn said(&mut self) -> anyhow::Result<String> {
        Ok(self.lines.next().context("it has ended")??)
    }
}

fn command(cluster: &Cluster, words: &[&str]) -> Command {
    let program = &cluster.scene.weiche.program;
    let mut command = cluster.scene.node.namespace.command(program);
    command.arg("port-forward").args(words);
    let kubeconfig = cluster.scene.lab.dir().join("kubeconfig");
    command.arg("--kubeconfig").arg(kubeconfig);
    command
}

#[test]
fn a_port_follows_a_service_through_the_api_server() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let mut forward = Forward::start(&cluster, &["svc/web", &format!(":{PORT}")])?;
    let serves = |pod: &Pod| format!("pod default/{} at {}:{POD_PORT} serves", pod.name, pod.v4);
    let [first, second] = &cluster.scene.backends[..] else {
        anyhow::bail!("two pods are there");
    };
    assert_eq!(forward.ask()?, first.name);
    assert_eq!(forward.said()?, serves(first));
    // It stays as long as it can, and goes on with another one.
    put_slice(&cluster, &["web-2", "web-1"]);
    assert_eq!(forward.ask()?, first.name);
    put_slice(&cluster, &["web-2"]);
    assert_eq!(forward.ask()?, second.name);
    assert_eq!(forward.said()?, serves(second));
    // A pod that is gone, though its Service does not know yet.
    put_slice(&cluster, &["web-1", "web-2"]);
    cluster.server.delete(Resource::Pods, "default", "web-2");
    assert_eq!(forward.ask()?, first.name);
    let said = forward.said()?;
    assert!(
        said.contains("web-2 at") && said.contains("not found"),
        "{said}"
    );
    assert_eq!(forward.said()?, serves(first));
    // The API server goes, and comes back.
    cluster.server.stop()?;
    assert!(forward.ask().is_err());
    let said = forward.said()?;
    assert!(said.contains("the API server cannot be asked"), "{said}");
    cluster
        .scene
        .node
        .namespace
        .run(|| cluster.server.restart())??;
    wait::until("an answer", PATIENCE, || forward.ask().ok().map(drop))
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let forward = Forward::start(&cluster, &["-l", "app=web", &format!(":{POD_PORT}")])?;
    let mut stream = forward.connect()?;
    // More than any buffer between holds, so that frames are cut and joined.
    let lines = "1 1\n".repeat(20_000);
    let mut writer = stream.try_clone()?;
    let said = std::thread::spawn(move || {
        writer.write_all(lines.as_bytes())?;
        writer.shutdown(Shutdown::Write)
    });
    let mut text = String::new();
    let mut answers = BufReader::new(&mut stream);
    for _ in 0..20_000 {
        ensure!(answers.read_line(&mut text)? > 0, "it was cut off");
    }
    said.join().expect("the writer")?;
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("web-1 "))
            .count(),
        20_000
    );
    Ok(())
}

#[test]
fn a_pod_that_does_not_listen_is_said() -> anyhow::Result<()> {
    let cluster = cluster()?;
    let mut forward = Forward::start(&cluster, &["web-1", ":9"])?;
    for _ in 0..2 {
        assert_eq!(forward.connect()?.read(&mut [0])?, 0, "hung up");
        let said = [forward.said()?, forward.said()?];
        assert!(said[0].ends_with(" serves"), "{said:?}");
        assert!(said[1].contains("failed to connect to"), "{said:?}");
    }
    Ok(())
}

#[test]
fn mistakes_are_told_apart() -> anyhow::Result<()> {
    let cluster = cluster()?;
    for (words, code, expected) in [
        (
            &["svc/none", "80"][..],
            1,
            "there is no Service default/none",
        ),
        (
            &["svc/web", "81"],
            1,
            "service default/web has no TCP port 81; it has 80",
        ),
        (&["web", "80"], 1, "write svc/web for it"),
        (&["none", "80"], 1, "there is no Pod default/none"),
        (&["-l", "app=none", "80"], 1, "there are no pods app=none"),
        (
            &["-n", "other", "svc/web", "80"],
            1,
            "there is no Service other/web",
        ),
        (&["svc/web", "http"], 2, "write LOCAL:REMOTE"),
        (&["svc/web"], 2, "which port?"),
        (&["-l", "app", "80"], 2, "write key=value"),
    ] {
        let output = command(&cluster, words).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    }
    Ok(())
}
