// SPDX-License-Identifier: MIT OR Apache-2.0
//! nsd, an authoritative server, as Debian ships it, with the cluster's names in a zone file.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    netns::{Namespace, Process},
    wait,
};

use super::world::{NODE, dns_name};
use crate::{Bench, cluster::cluster_ip};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running one; it ends with the value.
pub(super) struct Nsd {
    pub(super) process: Process,
}

impl Nsd {
    /// Where `cargo xtask setup` has unpacked it: it is not installed, as its package would start
    /// it on this machine.
    pub(super) fn program() -> anyhow::Result<PathBuf> {
        let folder = std::env::var_os("WEICHE_NSD").map(PathBuf::from);
        let program = folder
            .context("WEICHE_NSD names no folder")?
            .join("usr/sbin/nsd");
        ensure!(program.is_file(), "{} is not there", program.display());
        Ok(program)
    }

    /// Starts it on a processor, and waits until it answers.
    pub(super) fn start(
        bench: &Bench,
        node: &Namespace,
        services: u32,
        processor: usize,
    ) -> anyhow::Result<Self> {
        let folder = bench.lab.dir().join("nsd");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("zone"), zone(services)?)?;
        let config = folder.join("nsd.conf");
        fs::write(&config, configuration(&folder.display().to_string()))?;
        let program = Self::program()?;
        let libraries = program.join("../../lib/x86_64-linux-gnu");
        let mut command = node.command("taskset");
        command.args(["-c", &processor.to_string()]).arg(&program);
        command.args(["-d", "-c"]).arg(&config);
        command.env("LD_LIBRARY_PATH", libraries);
        let log = fs::File::create(folder.join("said"))?;
        command.stdout(Stdio::null()).stderr(log);
        let process = Process::spawn(&mut command)?;
        let socket = node.run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect((NODE, 53))?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            anyhow::Ok(socket)
        })??;
        let query = super::load::queries(1).pop().context("a query")?;
        let answered = wait::until("nsd to answer", PATIENCE, || {
            socket.send(&query).ok()?;
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).ok()?;
            (length > query.len()).then_some(())
        });
        let said = || fs::read_to_string(folder.join("said")).unwrap_or_default();
        answered.with_context(said)?;
        Ok(Self { process })
    }
}

fn zone(services: u32) -> anyhow::Result<String> {
    let mut text = "$ORIGIN cluster.local.\n$TTL 30\n\
        @ IN SOA ns.dns hostmaster 1 7200 1800 86400 5\n@ IN NS ns.dns\n"
        .to_owned();
    writeln!(text, "ns.dns IN A {NODE}")?;
    for number in 0..services {
        writeln!(text, "{} IN A {}", dns_name(number), cluster_ip(number))?;
    }
    Ok(text)
}

fn configuration(folder: &str) -> String {
    format!(
        "server:\n  ip-address: {NODE}\n  server-count: 1\n  username: \"\"\n  do-ip6: no\n  \
         database: \"\"\n  pidfile: \"\"\n  zonesdir: \"{folder}\"\n  \
         xfrdfile: \"{folder}/xfrd\"\n  zonelistfile: \"{folder}/zones\"\n  \
         rrl-ratelimit: 0\n  minimal-responses: yes\n  verbosity: 0\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: \"cluster.local\"\n  zonefile: \"zone\"\n"
    )
}
