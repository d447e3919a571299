// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program `weiche` on a node made of namespaces: its agent, and its listings.
//!
//! Nothing of its insides is used: what it prints and keeps as JSON is all that is known of it.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use lb_common::wire::LAYOUT;
use serde::Deserialize;
use serde_json::Value;

use crate::netns::{Lab, Node};

/// IPv4 first: it is the family of Services that do not say which they want.
const SERVICE_CIDR: &str = "10.96.0.0/16,fd00:10:96::/112";

/// Where the program is and where it keeps its things.
#[derive(Clone, Debug)]
pub struct Weiche {
    /// The program.
    pub program: PathBuf,
    /// Its `--pin-dir`.
    pub pins: PathBuf,
    /// Its `--state-dir`.
    pub state: PathBuf,
    /// A program and its arguments that start the agent with fewer rights; none: as we are.
    pub confine: Vec<OsString>,
}

/// A port of a Service as the kernel has it: a row of `weiche service list -o json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Frontend {
    /// `namespace/name:port-name`, or without `:port-name` where the port has none.
    pub service: String,
    /// The Cluster-IP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// What it leads to.
    pub backends: Vec<Backend>,
}

/// An address that a Service leads to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Backend {
    /// The pod's address and port.
    pub address: SocketAddr,
}

/// How often packets have ended for which reason.
#[derive(Clone, Debug, Default)]
pub struct Ends(Vec<End>);

/// What is read of `weiche status -o json`.
#[derive(Deserialize)]
struct Status {
    packets: Vec<End>,
    /// What the agent says; nothing while there is none.
    status: Option<AgentStatus>,
}

#[derive(Deserialize)]
struct AgentStatus {
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    name: String,
    /// By which means it is served, if it is.
    backend: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct End {
    hook: String,
    reason: String,
    packets: u64,
}

impl Ends {
    /// How many packets ended so.
    pub fn count(&self, hook: &str, reason: &str) -> u64 {
        let mut ends = self.0.iter();
        let found = ends.find(|end| end.hook == hook && end.reason == reason);
        found.map_or(0, |end| end.packets)
    }
}

impl Frontend {
    /// `namespace/name` of the Service.
    pub fn object(&self) -> &str {
        self.service
            .split_once(':')
            .map_or(&self.service, |(name, _port)| name)
    }

    /// What clients dial.
    pub fn target(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl Weiche {
    /// The program at this path, which keeps its things in the lab.
    pub fn new(program: &Path, lab: &Lab) -> anyhow::Result<Self> {
        let program = program.canonicalize().with_context(|| {
            let path = program.display();
            format!("{path}: build it with `cargo build`, or say where it is")
        })?;
        Ok(Self {
            program,
            pins: lab.mount_bpffs()?.join("weiche"),
            state: lab.dir().join("state"),
            confine: Vec::new(),
        })
    }

    /// Below its `--pin-dir`: the folder of this version's layout.
    pub fn layout(&self) -> PathBuf {
        self.pins.join(format!("v{LAYOUT}"))
    }

    /// What makes `weiche` find its things without flags.
    pub fn variables(&self) -> [(&'static str, &Path); 2] {
        [
            ("WEICHE_PIN_DIR", &self.pins),
            ("WEICHE_STATE_DIR", &self.state),
        ]
    }

    /// The command that starts the agent on the node, following these folders.
    pub fn agent(&self, node: &Node, folders: &[&Path]) -> Command {
        let mut words = self.confine.iter().map(OsString::as_os_str);
        let program = self.program.as_os_str();
        let mut command = node.namespace.command(words.next().unwrap_or(program));
        if !self.confine.is_empty() {
            command.args(words).arg(program);
        }
        command.arg("run");
        for folder in folders {
            command.arg("--manifests").arg(folder);
        }
        command.args(["--edge", "veth*", "--uplink", "eth0"]);
        command.args(["--node-name", Node::NAME, "--service-cidr", SERVICE_CIDR]);
        command.envs(self.variables());
        command
    }

    /// Whether the status is this process's, all links have been seen to, and everything has been
    /// written down once. Objects may be first: links are asked for while they are listed.
    pub fn is_in_charge(&self, pid: u64) -> bool {
        let text = fs::read(self.state.join("status.json")).unwrap_or_default();
        let status: Value = serde_json::from_slice(&text).unwrap_or_default();
        let sync = &status["sync"];
        let done = sync["services_desired"] == sync["services_programmed"];
        let attached = status["edges"].as_array().is_some_and(|it| !it.is_empty());
        status["pid"] == pid && sync["listed"] == true && done && attached
    }

    /// What the kernel's maps say; an error while there is nothing to read yet.
    pub fn frontends(&self) -> anyhow::Result<Vec<Frontend>> {
        self.list(&["service", "list"])
    }

    /// Rows of a listing such as `service list` or `flow list`.
    pub fn list<T: for<'row> Deserialize<'row>>(&self, what: &[&str]) -> anyhow::Result<Vec<T>> {
        self.show(what)
    }

    /// How often packets have ended so far, by hook (`ingress`, `egress`) and reason.
    pub fn ends(&self) -> anyhow::Result<Ends> {
        let status: Status = self.show(&["status"])?;
        Ok(Ends(status.packets))
    }

    /// The interfaces whose packets the agent's programs see; an error while there is no agent.
    pub fn served_links(&self) -> anyhow::Result<Vec<String>> {
        let status: Status = self.show(&["status"])?;
        let edges = status.status.context("no agent")?.edges.into_iter();
        let served = edges.filter(|edge| edge.backend.is_some());
        Ok(served.map(|edge| edge.name).collect())
    }

    fn show<T: for<'it> Deserialize<'it>>(&self, what: &[&str]) -> anyhow::Result<T> {
        let mut command = Command::new(&self.program);
        command.args(what).args(["-o", "json"]);
        let output = command.envs(self.variables()).output();
        let output = output.with_context(|| format!("starting {command:?}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {}", said.trim());
        serde_json::from_slice(&output.stdout).with_context(|| format!("reading {command:?}"))
    }
}
