// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent as it is shipped, as a process of its own before an API server over HTTP.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use lb_userspace::observe::Status;
use tests::{
    api_objects,
    api_server::ApiServer,
    netns::{Namespace, Process},
    wait,
};

use crate::{
    Bench,
    cluster::{Cluster, NODE},
};

const PATIENCE: Duration = Duration::from_secs(120);

/// An API server that holds a cluster.
pub(crate) fn serve(namespace: &Namespace, cluster: &Cluster) -> anyhow::Result<ApiServer> {
    let server = namespace.run(ApiServer::start)??;
    for change in cluster.objects() {
        api_objects::tell(&server, &change);
    }
    // A server that has been running for long does not know how all came about.
    server.compact();
    Ok(server)
}

/// An agent that has written all; it ends, and its maps go, with the value.
pub(crate) struct Agent {
    process: Process,
    pins: PathBuf,
    state: PathBuf,
    /// From its start until all was written.
    pub(crate) started_in: Duration,
}

impl Agent {
    /// Starts it in a namespace with further flags, and waits until it has written all Services.
    pub(crate) fn start(
        bench: &Bench,
        namespace: &Namespace,
        server: &ApiServer,
        cluster: &Cluster,
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        // Several nodes may have one at once.
        let folder = bench.lab.dir().join(format!("{}-agent", namespace.name()));
        fs::create_dir_all(&folder)?;
        let pins = bench.bpffs.join(namespace.name());
        let state = folder.join("state");
        let (config, log) = (folder.join("kubeconfig"), folder.join("log"));
        fs::write(&config, server.kubeconfig())?;
        let mut command = namespace.command(&bench.weiche);
        command.args(["run", "--node-name", NODE]).args(flags);
        command.arg("--kubeconfig").arg(&config);
        command.arg("--pin-dir").arg(&pins);
        command.arg("--state-dir").arg(&state);
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let begin = Instant::now();
        let mut agent = Self {
            process: Process::spawn(&mut command)?,
            pins,
            state,
            started_in: Duration::ZERO,
        };
        if let Err(error) = agent.wait(cluster) {
            bail!("{error}; it says:\n{}", fs::read_to_string(&log)?);
        }
        agent.started_in = begin.elapsed();
        Ok(agent)
    }

    /// Its pid.
    pub(crate) fn pid(&mut self) -> u32 {
        self.process.child().id()
    }

    /// Its `--pin-dir`.
    pub(crate) fn pins(&self) -> &Path {
        &self.pins
    }

    fn wait(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let services = usize::try_from(cluster.services)?;
        let pid = self.pid();
        let done = wait::until("all Services to be written", PATIENCE, || {
            if let Ok(Some(status)) = self.process.child().try_wait() {
                return Some(Err(format!("the agent has ended: {status}")));
            }
            let status = Status::read(&self.state).ok();
            let sync = status.filter(|it| it.pid == pid)?.sync;
            let all = sync.services_programmed == services;
            match sync.failures.first() {
                Some(failure) => Some(Err(failure.clone())),
                None => (sync.listed && all).then_some(Ok(())),
            }
        });
        done?.map_err(anyhow::Error::msg)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let ended = self.process.child().kill();
        let ended = ended.and_then(|()| self.process.child().wait().map(drop));
        let removed = ended.and_then(|()| fs::remove_dir_all(&self.pins));
        let removed = removed.and_then(|()| fs::remove_dir_all(&self.state));
        if let Err(error) = removed.context("taking an agent away") {
            eprintln!("{error:#}");
        }
    }
}
