// SPDX-License-Identifier: MIT OR Apache-2.0
//! The API server of the tests as a program: a folder of manifests as a cluster, for
//! `weiche run --kubeconfig`.
//!
//! The folder is read as `weiche run --manifests` reads it, so Services get their Cluster-IPs and
//! Pods become endpoints, and changes show at once.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Parser;
use ipnet::IpNet;
use lb_userspace::{
    model::Name,
    watch::{
        snapshot::PodFacts,
        standalone::{self, Settings},
        status::Noted,
    },
};
use serde_json::{Value, json};
use tests::{
    api_objects::{Mirror, PodNames},
    api_server::{ApiServer, Resource},
};
use tokio::sync::mpsc;

/// Shows a folder of Kubernetes manifests as a cluster's API.
///
/// Serves Services, `EndpointSlices`, Nodes, Namespaces and Pods over plain HTTP, for reading, to
/// whoever asks, and forwards ports to Pods that are reached from here. For trying cluster mode
/// without a cluster; nothing is kept.
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
    let mut pods = Pods {
        folder: arguments.manifests.clone(),
        shown: BTreeMap::new(),
    };
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
                mirror.pods = pods.show(&server);
                mirror.tell(&server, &told);
            }
            new = status.changed() => {
                new.context("the folder is no longer followed")?;
                mirror.pods = pods.show(&server);
                for Noted { problem, .. } in &status.borrow_and_update().problems {
                    eprintln!("{problem}");
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// The folder's Pods, which no agent follows.
struct Pods {
    folder: PathBuf,
    shown: BTreeMap<Name, Value>,
}

impl Pods {
    /// Shows what there is now; who has which address.
    fn show(&mut self, server: &ApiServer) -> PodNames {
        let facts = standalone::snapshot::read(vec![self.folder.clone()]).pods;
        let now: BTreeMap<Name, Value> = facts
            .iter()
            .map(|facts| (facts.name.clone(), pod(facts)))
            .collect();
        for name in self.shown.keys().filter(|name| !now.contains_key(name)) {
            server.delete(Resource::Pods, &name.namespace, &name.name);
        }
        for (name, object) in &now {
            if self.shown.get(name) != Some(object) {
                server.put(object.clone());
            }
        }
        self.shown = now;
        let names = facts.iter().flat_map(|facts| {
            let (namespace, name) = (&facts.name.namespace, &facts.name.name);
            let of = |address: &IpAddr| ((namespace.to_string(), *address), name.to_string());
            facts.addresses.iter().map(of)
        });
        names.collect()
    }
}

fn pod(facts: &PodFacts) -> Value {
    let ready = if facts.ready { "True" } else { "False" };
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": *facts.name.namespace, "name": *facts.name.name, "labels": facts.labels,
        },
        "status": {
            "podIP": facts.addresses.first(),
            "podIPs": facts.addresses.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
            "conditions": [{"type": "Ready", "status": ready}],
        },
    })
}
