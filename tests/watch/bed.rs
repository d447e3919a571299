// SPDX-License-Identifier: MIT OR Apache-2.0
//! An API server and the source of changes that follows it.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use kube::Client;
use lb_userspace::{
    model::Name,
    watch::cluster::{self, Settings},
};
use serde_json::{Value, json};
use tests::{
    api_server::{ApiServer, Resource},
    wait,
};
use tokio::{sync::mpsc, time::timeout};

use crate::seen::{Seen, Stream};

pub(crate) struct Bed {
    pub(crate) server: ApiServer,
    pub(crate) folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new(server: ApiServer) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("kubeconfig"), server.kubeconfig())?;
        Ok(Self { server, folder })
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) async fn start(&self, watch_s: u32) -> anyhow::Result<Stream> {
        let settings = Settings {
            kubeconfig: Some(self.kubeconfig()),
            watch_s,
            ..Settings::default()
        };
        let (sender, changes) = mpsc::channel(16);
        let handle = cluster::spawn(settings, sender).await?;
        Ok(Stream::new(changes, handle))
    }

    /// The same as an agent does it that serves names.
    pub(crate) async fn start_with_namespaces(&self) -> anyhow::Result<Stream> {
        let settings = Settings {
            kubeconfig: Some(self.kubeconfig()),
            namespaces: true,
            ..Settings::default()
        };
        let (sender, changes) = mpsc::channel(16);
        let handle = cluster::spawn(settings, sender).await?;
        Ok(Stream::new(changes, handle))
    }

    /// The same without a socket, for virtual time.
    pub(crate) fn start_in_memory(&self) -> Stream {
        let client = Client::new(self.server.service(), "default");
        let (sender, changes) = mpsc::channel(16);
        let handle = cluster::spawn_with(client, &Settings::default(), sender);
        Stream::new(changes, handle)
    }

    pub(crate) async fn started(&self) -> anyhow::Result<Stream> {
        let mut stream = self.start(30).await?;
        stream.until("the first lists", Seen::all_listed).await?;
        self.watched().await?;
        Ok(stream)
    }

    /// Waits until all kinds are watched.
    pub(crate) async fn watched(&self) -> anyhow::Result<()> {
        let watched = async {
            while Resource::ALL.iter().any(|it| self.server.watches(*it) == 0) {
                wait::pass_on_runtime(Duration::from_millis(1)).await;
            }
        };
        let watched = timeout(Duration::from_secs(10), watched).await;
        watched.context("not all kinds are watched")
    }
}

pub(crate) fn service(name: &str, address: &str) -> Value {
    json!({
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    })
}

/// A server with some Services and nothing else.
pub(crate) fn server_with(names: &[&str]) -> anyhow::Result<ApiServer> {
    let server = ApiServer::start()?;
    for name in names {
        server.put(service(name, "10.96.0.1"));
    }
    Ok(server)
}

pub(crate) fn has(seen: &Seen, name: &str) -> bool {
    seen.services.contains_key(&Name::new("default", name))
}
