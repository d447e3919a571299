// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Pod that runs: its namespace, and one server process for each port.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use anyhow::Context as _;
use tests::netns::{Lab, Pod};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc::UnboundedSender,
    task::JoinSet,
};

use super::Event;
use crate::{manifests::Name, pod_server, resolver};

/// A Pod and its processes, which are killed when the value goes.
#[derive(Debug)]
pub(super) struct Running {
    name: Name,
    pod: Pod,
    start: u64,
    ports: BTreeSet<u16>,
    serving: BTreeSet<u16>,
    /// Each holds its server's process; dropping the set drops them.
    _servers: JoinSet<()>,
}

impl Running {
    /// Starts the servers in the pod; `start` tells it from another Pod of its name.
    pub(super) fn start(
        lab: &Lab,
        pod: Pod,
        name: &Name,
        ports: BTreeSet<u16>,
        start: u64,
        resolv_conf: Option<&Path>,
        events: &UnboundedSender<Event>,
    ) -> anyhow::Result<Self> {
        let mut servers = JoinSet::new();
        for &port in &ports {
            let server = spawn(lab, &pod, &name.name, port, resolv_conf)?;
            let (pod, events) = (name.clone(), events.clone());
            let ready = Event::ServerReady {
                pod: pod.clone(),
                start,
                port,
            };
            let ended = Event::ServerEnded { pod, start, port };
            servers.spawn(follow(server, ready, ended, events));
        }
        Ok(Self {
            name: name.clone(),
            pod,
            start,
            ports,
            serving: BTreeSet::new(),
            _servers: servers,
        })
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn pod(&self) -> &Pod {
        &self.pod
    }

    pub(super) fn start_number(&self) -> u64 {
        self.start
    }

    pub(super) fn ports(&self) -> &BTreeSet<u16> {
        &self.ports
    }

    /// Whether each port is served. A Pod without ports is ready at once.
    pub(super) fn is_ready(&self) -> bool {
        self.serving == self.ports
    }

    /// A server has begun or ended to serve its port.
    pub(super) fn note(&mut self, port: u16, serves: bool) {
        if serves {
            self.serving.insert(port);
        } else {
            self.serving.remove(&port);
        }
    }
}

fn spawn(
    lab: &Lab,
    pod: &Pod,
    name: &str,
    port: u16,
    resolv_conf: Option<&Path>,
) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::from(resolver::command(&pod.namespace, resolv_conf, program));
    command.args(["pod-server", "--name", name, "--port"]);
    command.arg(port.to_string());
    command.arg("--addresses");
    command.arg(format!("{} and {}", pod.v4, pod.v6));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // A process group of its own keeps the terminal's Ctrl-C away: the demo ends it in order.
    command.process_group(0).kill_on_drop(true);
    let server = command.spawn().context("starting a server process")?;
    lab.adopt(server.id().context("a server without a pid")?)?;
    Ok(server)
}

async fn follow(mut server: Child, ready: Event, ended: Event, events: UnboundedSender<Event>) {
    if let Some(stdout) = server.stdout.take() {
        let line = BufReader::new(stdout).lines().next_line().await;
        if matches!(line, Ok(Some(line)) if line == pod_server::READY) {
            let _demo_ended = events.send(ready);
        }
    }
    // An error here means that it is gone as well.
    let _status = server.wait().await;
    let _demo_ended = events.send(ended);
}
