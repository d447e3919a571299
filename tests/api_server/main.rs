// SPDX-License-Identifier: MIT OR Apache-2.0
//! The API server of the tests as a program: a folder of manifests as a cluster, for
//! `weiche run --kubeconfig`.
//!
//! The folder is read as `weiche run --manifests` reads it, so Services get their Cluster-IPs and
//! Pods become endpoints, and changes show at once.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;
use ipnet::IpNet;
use lb_userspace::watch::{
    standalone::{self, Settings},
    status::Noted,
};
use tests::{api_objects::Mirror, api_server::ApiServer};
use tokio::sync::mpsc;

/// Shows a folder of Kubernetes manifests as a cluster's API.
///
/// Serves Services, `EndpointSlices` and Nodes over plain HTTP, for reading, to whoever asks. For
/// trying cluster mode without a cluster; nothing is kept.
#[derive(Debug, Parser)]
#[command(name = "weiche-api-server", version)]
struct Arguments {
    /// Folder of Kubernetes manifests to follow.
    #[arg(value_name = "DIR")]
    manifests: PathBuf,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:16443")]
    listen: SocketAddr,
    /// Where to write the kubeconfig that leads here.
    #[arg(long, value_name = "FILE", default_value = "kubeconfig")]
    kubeconfig: PathBuf,
    /// Where Cluster-IPs come from, for Services that have none: one CIDR of each family.
    #[arg(
        long = "service-cidr",
        value_name = "CIDR",
        value_delimiter = ',',
        default_value = "10.96.0.0/12,fd00:10:96::/112"
    )]
    service_cidrs: Vec<IpNet>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build()?.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let server = ApiServer::start_at(arguments.listen)?;
    let path = &arguments.kubeconfig;
    fs::write(path, server.kubeconfig()).with_context(|| format!("writing {}", path.display()))?;
    let (sender, mut changes) = mpsc::channel(16);
    let folder = tempfile::tempdir()?;
    let settings = Settings {
        folders: vec![arguments.manifests],
        cidrs: arguments.service_cidrs,
        state_dir: folder.path().to_owned(),
        own_server: None,
    };
    let source = standalone::spawn(settings, sender)?;
    println!(
        "serving on http://{}; try: weiche run --kubeconfig {}",
        server.address(),
        path.display()
    );
    let mut status = source.status();
    let mut mirror = Mirror::default();
    loop {
        tokio::select! {
            told = changes.recv() => {
                let told = told.context("the folder is no longer followed")?;
                mirror.tell(&server, &told);
            }
            new = status.changed() => {
                new.context("the folder is no longer followed")?;
                for Noted { problem, .. } in &status.borrow_and_update().problems {
                    eprintln!("{problem}");
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}
