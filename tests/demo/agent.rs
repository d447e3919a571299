// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's process on the demo node, and what a command needs to ask it.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tests::{
    netns::{Lab, Node},
    weiche::Weiche,
};
use tokio::process::{Child, Command};

/// For the agent to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program at this path, or the one beside this program.
pub(crate) fn find(given: Option<PathBuf>, lab: &Lab) -> anyhow::Result<Weiche> {
    let beside = || Ok(std::env::current_exe()?.with_file_name("weiche"));
    let program = given.map_or_else(beside, anyhow::Ok)?;
    Weiche::new(&program, lab)
}

/// Starts the agent on the node, following these folders; its messages go to the terminal, or to a
/// file if there is one.
pub(crate) fn start(
    weiche: &Weiche,
    lab: &Lab,
    node: &Node,
    folders: [&Path; 2],
    log: Option<&Path>,
) -> anyhow::Result<Child> {
    let mut command = Command::from(weiche.agent(node, &folders));
    // There is nobody else to ask.
    let listen = format!("{},{}", Node::V4, Node::V6);
    command.args(["--dns-listen", &listen, "--dns-upstream", "none"]);
    command.stdin(Stdio::null());
    if let Some(path) = log {
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

/// Asks the agent to end, and ends it if it does not.
pub(crate) async fn stop(mut agent: Child) -> anyhow::Result<ExitStatus> {
    if let Some(pid) = agent.id() {
        signal(pid, Signal::TERM)?;
    }
    let Ok(status) = tokio::time::timeout(PATIENCE, agent.wait()).await else {
        eprintln!("the agent did not end within {PATIENCE:?}: killed");
        agent.kill().await.context("killing the agent")?;
        return agent.wait().await.context("waiting for the agent");
    };
    status.context("waiting for the agent")
}

/// Signals a child that has not been waited for.
pub(crate) fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else {
        bail!("no pid");
    };
    kill_process(pid, signal).context("signalling a child")
}

/// A folder with nothing in it but `weiche`, in front of the PATH that there is.
pub(crate) fn path_with(program: &Path, lab: &Lab) -> anyhow::Result<OsString> {
    let bin = lab.dir().join("bin");
    std::fs::create_dir_all(&bin).context("making the folder for the PATH")?;
    let link = std::os::unix::fs::symlink(program, bin.join("weiche"));
    link.context("linking weiche into the PATH")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("the PATH")
}
