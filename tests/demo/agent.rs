// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program `weiche` on the demo node: its agent, and its listings for those who ask.

use std::{
    ffi::OsString,
    fs::File,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::netns::{Lab, Node};
use tokio::process::{Child, Command};

use crate::{kubelet::NODE_NAME, manifests::Name};

/// IPv4 first: it is the family of Services that do not say which they want.
const SERVICE_CIDR: &str = "10.96.0.0/16,fd00:10:96::/112";
/// For the agent to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the program is and where it keeps its things.
#[derive(Debug)]
pub(crate) struct Weiche {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its `--pin-dir`.
    pub(crate) pins: PathBuf,
    /// Its `--state-dir`.
    pub(crate) state: PathBuf,
    /// Where the agent's messages go; to the terminal if there is no file.
    pub(crate) log: Option<PathBuf>,
}

/// A port of a Service as the kernel has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frontend {
    /// The Service.
    pub(crate) service: Name,
    /// The Cluster-IP.
    pub(crate) address: IpAddr,
    /// The port.
    pub(crate) port: u16,
    /// `TCP` or `UDP`.
    pub(crate) protocol: String,
    /// How many backends it leads to.
    pub(crate) backends: usize,
}

impl Frontend {
    /// What clients dial.
    pub(crate) fn target(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl Weiche {
    /// The program at this path, or the one beside this program.
    pub(crate) fn find(given: Option<PathBuf>, lab: &Lab, quiet: bool) -> anyhow::Result<Self> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("weiche"));
        let program = given.map_or_else(beside, anyhow::Ok)?;
        let program = program.canonicalize().with_context(|| {
            let path = program.display();
            format!("{path}: build it with `cargo build`, or say where it is with --weiche")
        })?;
        let pins = lab.mount_bpffs()?.join("weiche");
        Ok(Self {
            program,
            pins,
            state: lab.dir().join("state"),
            log: quiet.then(|| lab.dir().join("weiche.log")),
        })
    }

    /// What makes `weiche` find this node's pins without flags.
    pub(crate) fn variables(&self) -> [(&'static str, &Path); 2] {
        [
            ("WEICHE_PIN_DIR", &self.pins),
            ("WEICHE_STATE_DIR", &self.state),
        ]
    }

    /// Starts the agent on the node, following these folders.
    pub(crate) fn start(
        &self,
        lab: &Lab,
        node: &Node,
        folders: [&Path; 2],
    ) -> anyhow::Result<Child> {
        let mut command = Command::from(node.namespace.command(&self.program));
        command.arg("run");
        for folder in folders {
            command.arg("--manifests").arg(folder);
        }
        command.args(["--edge", "veth*", "--uplink", "eth0"]);
        command.args(["--node-name", NODE_NAME, "--service-cidr", SERVICE_CIDR]);
        command.envs(self.variables());
        command.stdin(Stdio::null());
        if let Some(path) = &self.log {
            let log = File::options().create(true).append(true).open(path);
            command.stdout(Stdio::null());
            command.stderr(log.with_context(|| format!("opening {}", path.display()))?);
        }
        // A process group of its own keeps the terminal's Ctrl-C away: the demo ends it in order.
        command.process_group(0).kill_on_drop(true);
        let agent = command.spawn().context("starting the agent")?;
        lab.adopt(agent.id().context("an agent without a pid")?)?;
        Ok(agent)
    }

    /// What the kernel's maps say; an error while there is nothing to read yet.
    pub(crate) async fn frontends(&self) -> anyhow::Result<Vec<Frontend>> {
        let mut command = Command::new(&self.program);
        command.args(["service", "list", "-o", "json"]);
        let output = command.envs(self.variables()).output().await;
        let output = output.context("starting `weiche service list`")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`weiche service list`: {}",
            said.trim()
        );
        let list: Value = serde_json::from_slice(&output.stdout).context("its answer")?;
        frontends(&list)
    }

    /// The end of the agent's messages, where they went to a file.
    pub(crate) fn last_words(&self) -> String {
        let text = self
            .log
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Asks the agent to end, and ends it if it does not.
pub(crate) async fn stop(mut agent: Child) -> anyhow::Result<ExitStatus> {
    if let Some(pid) = agent.id() {
        signal(pid, Signal::TERM)?;
    }
    match tokio::time::timeout(PATIENCE, agent.wait()).await {
        Ok(status) => status.context("waiting for the agent"),
        Err(_elapsed) => {
            eprintln!("the agent did not end within {PATIENCE:?}: killed");
            agent.kill().await.context("killing the agent")?;
            agent.wait().await.context("waiting for the agent")
        }
    }
}

/// Signals a child that has not been waited for.
pub(crate) fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else {
        bail!("no pid");
    };
    kill_process(pid, signal).context("signalling a child")
}

/// A directory with nothing in it but `weiche`, in front of the PATH that there is.
pub(crate) fn path_with(program: &Path, lab: &Lab) -> anyhow::Result<OsString> {
    let bin = lab.dir().join("bin");
    std::fs::create_dir_all(&bin).context("making the folder for the PATH")?;
    let link = std::os::unix::fs::symlink(program, bin.join("weiche"));
    link.context("linking weiche into the PATH")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("the PATH")
}

fn frontends(list: &Value) -> anyhow::Result<Vec<Frontend>> {
    let rows = list.as_array().context("no list")?;
    let frontend = |row: &Value| {
        let (namespace, rest) = row["service"].as_str()?.split_once('/')?;
        let (name, _port) = rest.split_once(':').unwrap_or((rest, ""));
        Some(Frontend {
            service: Name {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            address: row["address"].as_str()?.parse().ok()?,
            port: row["port"].as_u64()?.try_into().ok()?,
            protocol: row["protocol"].as_str()?.to_owned(),
            backends: row["backends"].as_array()?.len(),
        })
    };
    let frontends = rows
        .iter()
        .map(|row| frontend(row).with_context(|| format!("a row that is not understood: {row}")));
    frontends.collect()
}
