// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy itself, where whoever runs the bench has it: a process before an API server over
//! HTTP, as the agent is.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::bail;
use tests::{api_server::ApiServer, netns::Process, wait};

use super::world::World;
use crate::{
    Bench, agent,
    cluster::{self, Cluster, NODE},
    nft,
};

/// How long it may take until it serves all Services.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long one attempt to reach one may take.
const ATTEMPT: Duration = Duration::from_millis(200);

/// A kube-proxy that serves; it ends with the value, and its rules are flushed by the next one.
pub(super) struct KubeProxy {
    process: Process,
    _server: ApiServer,
}

impl KubeProxy {
    /// Starts it in a world's node, and waits until it serves the first and the last Service.
    pub(super) fn start(
        bench: &Bench,
        world: &World,
        cluster: &Cluster,
        program: &Path,
    ) -> anyhow::Result<Self> {
        if nft::is_there() {
            nft::run(bench, &world.node, "flush ruleset\n")?;
        }
        let server = agent::serve(&world.node, cluster)?;
        let folder = bench.lab.dir().join("kube-proxy");
        fs::create_dir_all(&folder)?;
        let (config, log) = (folder.join("kubeconfig"), folder.join("log"));
        fs::write(&config, server.kubeconfig())?;
        let mut command = world.node.command(program);
        flags(&mut command, &config);
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let mut proxy = Self {
            process: Process::spawn(&mut command)?,
            _server: server,
        };
        if let Err(error) = proxy.wait(world, cluster) {
            bail!("{error}; it says:\n{}", fs::read_to_string(&log)?);
        }
        Ok(proxy)
    }

    fn wait(&mut self, world: &World, cluster: &Cluster) -> anyhow::Result<()> {
        let asked = [0, cluster.services - 1];
        let asked = asked.map(|number| SocketAddr::new(cluster::cluster_ip(number), 80));
        let done = wait::until("kube-proxy to serve all Services", PATIENCE, || {
            if let Ok(Some(status)) = self.process.child().try_wait() {
                return Some(Err(format!("it has ended: {status}")));
            }
            let are_served = world.client.run(|| asked.into_iter().all(is_served));
            are_served.is_ok_and(|yes| yes).then_some(Ok(()))
        });
        done?.map_err(anyhow::Error::msg)
    }
}

impl Drop for KubeProxy {
    fn drop(&mut self) {
        let ended = self.process.child().kill();
        if let Err(error) = ended.and_then(|()| self.process.child().wait().map(drop)) {
            eprintln!("ending kube-proxy: {error}");
        }
    }
}

/// What it is told: the mode that is compared, nothing of the host's to change, no port of the
/// host's to listen on, and that what comes in by the client's link is a pod's.
fn flags(command: &mut Command, config: &Path) {
    command.arg(format!("--kubeconfig={}", config.display()));
    command.arg(format!("--hostname-override={NODE}"));
    command.args([
        "--proxy-mode=nftables",
        "--detect-local-mode=InterfaceNamePrefix",
        "--pod-interface-name-prefix=veth",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--healthz-bind-address=127.0.0.1:10256",
        "--metrics-bind-address=127.0.0.1:10249",
    ]);
}

/// Whether a Service leads to a pod: to one that listens, or to one that says that it does not.
fn is_served(service: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&service, ATTEMPT) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}
