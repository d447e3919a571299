// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cluster mode: Services, `EndpointSlices` and Nodes of a Kubernetes cluster, and Namespaces where
//! names are served, through `kube`.
//!
//! What is known stays in force while the API server cannot be reached; that it cannot is a
//! problem in the status. Only this module and its children know `kube`.

pub mod calls;
pub mod reach;

mod door;
mod namespaces;
mod nodes;
mod patience;
mod services;
mod slices;
mod source;

use std::path::PathBuf;

use axum::http::uri::InvalidUri;
use kube::{Client, config::InClusterError};
use tokio::sync::{mpsc, watch};

pub use self::door::BadKubeconfig;
use self::{calls::Calls, door::Door, source::Told};
use super::{Handle, status::Status};
use crate::model::Change;

/// How cluster mode is to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A kubeconfig file, of which the current context counts; `None` = what Kubernetes gives to
    /// Pods.
    pub kubeconfig: Option<PathBuf>,
    /// The API server's URL, in place of the one that the configuration has: for a Pod before the
    /// Service `kubernetes` is served.
    pub master: Option<String>,
    /// Spreads the retries of many nodes; any number, best another one on each node.
    pub jitter_seed: u64,
    /// The server ends a watch after this many seconds, and a connection that is silent for 5 s
    /// more is given up; 30 by default. kube's default is 290 s, for which a connection that died
    /// without a word would be believed.
    pub watch_s: u32,
    /// Whether Namespaces are followed as well, which only names need.
    pub namespaces: bool,
    /// Where requests are counted.
    pub calls: Calls,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            master: None,
            jitter_seed: 0,
            watch_s: 30,
            namespaces: false,
            calls: Calls::default(),
        }
    }
}

/// Why cluster mode cannot start. What happens later is a problem in the status: a cluster that
/// cannot be reached is none of these.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kubeconfig that was named does not serve.
    #[error("the kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: BadKubeconfig,
    },
    /// The URL that was given is none.
    #[error("--master {master} is no URL")]
    Master {
        /// What was given.
        master: String,
        /// Why not.
        #[source]
        cause: InvalidUri,
    },
    /// No kubeconfig was named, and this is no Pod with a service account.
    #[error(
        "no cluster to connect to: --kubeconfig was not given, and the in-cluster configuration \
         (KUBERNETES_SERVICE_HOST and the service account's files in \
         /var/run/secrets/kubernetes.io/serviceaccount) cannot be used. Give --kubeconfig FILE \
         (kubectl has ~/.kube/config), or --manifests DIR to run without a cluster"
    )]
    NotInCluster(#[source] InClusterError),
    /// The configuration is readable, but no client can be made of it.
    #[error("no client can be made of the configuration for {server}")]
    Client {
        /// The API server's URL.
        server: String,
        /// Why not.
        #[source]
        cause: kube::Error,
    },
}

/// Refuses what [`spawn`] would: reads the configuration, and connects to nothing.
pub async fn check(settings: &Settings) -> Result<(), StartError> {
    open(settings).await.map(drop)
}

/// Starts following a cluster; the first changes are complete lists, kind by kind.
///
/// Returns before the cluster has answered. The stream ends when the handle is dropped, or the
/// receiver of `changes` is.
pub async fn spawn(
    settings: Settings,
    changes: mpsc::Sender<Change>,
) -> Result<Handle, StartError> {
    let door = open(&settings).await?;
    Ok(through(door, &settings, changes))
}

/// The same through a client that somebody else has made, and that is never made anew.
pub fn spawn_with(client: Client, settings: &Settings, changes: mpsc::Sender<Change>) -> Handle {
    through(Door::of(client), settings, changes)
}

async fn open(settings: &Settings) -> Result<Door, StartError> {
    let Settings {
        kubeconfig, master, ..
    } = settings;
    let kubeconfigs = kubeconfig.iter().cloned().collect();
    Door::open(kubeconfigs, master.clone(), settings.calls.clone()).await
}

fn through(door: Door, settings: &Settings, changes: mpsc::Sender<Change>) -> Handle {
    let (status, watched) = watch::channel(Status {
        source: format!("the API server {}", door.server()),
        ..Status::default()
    });
    let told = Told {
        door,
        changes,
        status,
        seed: settings.jitter_seed,
        watch_s: settings.watch_s,
    };
    let with_namespaces = settings.namespaces;
    Handle::new(watched, async move {
        // They end together, when nobody takes changes any more.
        tokio::join!(
            services::follow(told.clone()),
            slices::follow(told.clone()),
            nodes::follow(told.clone()),
            async {
                if with_namespaces {
                    namespaces::follow(told.clone()).await;
                }
            },
        );
    })
}
