// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where changes come from, and the seed for the choices that follow from them.

use super::AgentError;
use crate::{
    config::{Access, Config, Seed, SeedError, Source, dns::KernelDns},
    model::{Change, Kind},
    watch::{
        Handle,
        cluster::{self, calls::Calls},
        local::{Local, LocalError},
        standalone::{self, OwnServer},
    },
};
use std::{convert::Infallible, future::pending};
use tokio::sync::mpsc;

/// The source of objects cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folders of manifests.
    #[error(transparent)]
    Standalone(#[from] standalone::StartError),
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] Box<cluster::StartError>),
    /// The node's own addresses.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// Refuses what [`open`] or [`secret_seed`] would, as far as that can be told without them.
pub(super) async fn check(config: &Config) -> Result<(), AgentError> {
    if let Some(file) = &config.seed_file {
        Seed::read(file)?;
    }
    match &config.source {
        Source::Manifests(folders) => standalone::check(folders).map_err(SourceError::from)?,
        Source::Cluster(access) => cluster::check(&settings(config, access, &Calls::default()))
            .await
            .map_err(|error| SourceError::from(Box::new(error)))?,
    }
    Ok(())
}

/// The node's own addresses, if node ports may be on them: told before any object is, so that
/// nothing is planned without them.
pub(super) async fn local(
    config: &Config,
    changes: &mpsc::Sender<Change>,
) -> Result<Option<Local>, SourceError> {
    if !config.rules.asks_links() {
        return Ok(None);
    }
    Ok(Some(Local::open(changes.clone()).await?))
}

/// Goes on telling of them.
pub(super) async fn follow(local: Option<Local>) -> Result<Infallible, SourceError> {
    match local {
        Some(local) => Ok(local.run().await?),
        None => pending().await,
    }
}

/// Starts the source that the settings name.
pub(super) async fn open(
    config: &Config,
    calls: &Calls,
    changes: mpsc::Sender<Change>,
) -> Result<Handle, SourceError> {
    match &config.source {
        Source::Manifests(folders) => {
            let settings = standalone::Settings {
                folders: folders.clone(),
                cidrs: config.service_cidrs.clone(),
                state_dir: config.state_dir.clone(),
                own_server: config.dns.server().map(|server| OwnServer {
                    service: config.dns.service.0.clone(),
                    addresses: server.listen,
                }),
            };
            Ok(standalone::spawn(settings, changes)?)
        }
        Source::Cluster(access) => {
            let settings = settings(config, access, calls);
            Ok(cluster::spawn(settings, changes).await.map_err(Box::new)?)
        }
    }
}

fn settings(config: &Config, access: &Access, calls: &Calls) -> cluster::Settings {
    let [low, _] = Seed::weak(&config.node_name).words;
    cluster::Settings {
        kubeconfig: access.kubeconfig.clone(),
        master: access.master.clone(),
        jitter_seed: low,
        namespaces: config.dns.server().is_some() || config.dns.kernel(false) != KernelDns::Off,
        calls: calls.clone(),
        ..cluster::Settings::default()
    }
}

/// The seed that is known before anything is listed; `None` = only [`weak_seed`] is left.
pub(super) fn secret_seed(config: &Config) -> Result<Option<Seed>, SeedError> {
    match (&config.seed_file, &config.source) {
        (Some(file), _) => Seed::read(file).map(Some),
        (None, Source::Manifests(_)) => Seed::read_or_make(&config.state_dir).map(Some),
        (None, Source::Cluster(_)) => Ok(None),
    }
}

/// What all nodes of a cluster agree on without a secret: the UID of the Service
/// `default/kubernetes`. Also returns the changes that were read to find it.
pub(super) async fn weak_seed(changes: &mut mpsc::Receiver<Change>) -> (Seed, Vec<Change>) {
    let mut read = Vec::new();
    let mut uid = String::new();
    while let Some(change) = changes.recv().await {
        let listed = change == Change::Listed(Kind::Service);
        if let Change::Service(service) = &change
            && &*service.name.namespace == "default"
            && &*service.name.name == "kubernetes"
        {
            service.uid.as_ref().clone_into(&mut uid);
        }
        read.push(change);
        if listed {
            break;
        }
    }
    (Seed::weak(&uid), read)
}
