// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pods by way of the API server, for people: who there is, and a stream to a port of one of them.
//!
//! It asks with the rights of whoever runs it, and not with those of the agent.

use super::{StartError, calls::Calls, door::Door};
use crate::{
    model::{Change, Name},
    watch::{
        convert::{self, SERVICE_NAME},
        snapshot::{PodFacts, Snapshot},
    },
};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{ListParams, Portforwarder},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// For the API server to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For a stream that has ended to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A way to the API server.
pub struct Reach {
    door: Door,
}

/// A stream to a Pod's port.
pub struct Stream {
    forwarder: Portforwarder,
    port: u16,
}

/// The API server does not help.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// It says no.
    #[error("the API server refuses: {0}")]
    Refused(String),
    /// It does not answer.
    #[error("the API server cannot be asked")]
    Unanswered(#[source] kube::Error),
    /// Nor say why.
    #[error("the API server has not answered for {PATIENCE:?}")]
    Silent,
}

impl From<kube::Error> for ReachError {
    fn from(error: kube::Error) -> Self {
        match error {
            // Its text may hold anything, and goes to terminals.
            kube::Error::Api(status) => {
                Self::Refused(status.message.replace(char::is_control, " "))
            }
            error => Self::Unanswered(error),
        }
    }
}

impl Reach {
    /// Reads the configuration; connects to nothing yet.
    pub async fn open(kubeconfigs: Vec<PathBuf>) -> Result<Self, StartError> {
        let door = Door::open(kubeconfigs, None, Calls::default()).await?;
        Ok(Self { door })
    }

    /// After a failure: files may have changed, as tokens do.
    pub async fn renew(&mut self) {
        self.door.anew().await;
    }

    /// A Service with its endpoints, and the Pods that these are.
    pub async fn service(&self, name: &Name) -> Result<Snapshot, ReachError> {
        let mut found = Snapshot::default();
        let services: Api<Service> = self.of_namespace(&name.namespace);
        let Some(service) = patient(services.get_opt(&name.name)).await? else {
            return Ok(found);
        };
        let slices: Api<EndpointSlice> = self.of_namespace(&name.namespace);
        let params = ListParams::default().labels(&format!("{SERVICE_NAME}={}", name.name));
        let slices = patient(slices.list(&params)).await?;
        let mut ignored = Vec::new();
        let service = convert::service(&service, &mut ignored);
        let service = service.map(|it| Change::Service(Arc::new(it)));
        found.changes.extend(service);
        for slice in &slices.items {
            found.pods.extend(pods_of(slice, &name.namespace));
            let slice = convert::slice(slice, &mut ignored);
            found
                .changes
                .extend(slice.map(|it| Change::Slice(Arc::new(it))));
        }
        Ok(found)
    }

    /// A Pod.
    pub async fn pod(&self, name: &Name) -> Result<Snapshot, ReachError> {
        let pods: Api<Pod> = self.of_namespace(&name.namespace);
        let pod = patient(pods.get_opt(&name.name)).await?;
        Ok(Snapshot {
            pods: pod
                .iter()
                .map(|pod| PodFacts::of(name.clone(), pod))
                .collect(),
            changes: Vec::new(),
        })
    }

    /// The Pods of a namespace with these labels.
    pub async fn labelled(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Snapshot, ReachError> {
        let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
        let selector = pairs.collect::<Vec<_>>().join(",");
        let pods: Api<Pod> = self.of_namespace(namespace);
        let pods = patient(pods.list(&ListParams::default().labels(&selector))).await?;
        let pods = pods.items.iter().filter_map(|pod| {
            let name = Name::new(namespace, pod.metadata.name.as_deref()?);
            Some(PodFacts::of(name, pod))
        });
        Ok(Snapshot {
            pods: pods.collect(),
            changes: Vec::new(),
        })
    }

    /// A stream to a port of a Pod. Whether anybody listens there shows when it ends.
    pub async fn stream(&self, pod: &Name, port: u16) -> Result<Stream, ReachError> {
        let pods: Api<Pod> = self.of_namespace(&pod.namespace);
        let forwarder = patient(pods.portforward(&pod.name, &[port])).await?;
        Ok(Stream { forwarder, port })
    }

    fn of_namespace<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.door.client(), namespace)
    }
}

impl Stream {
    /// The two directions; once.
    pub fn take(&mut self) -> Option<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        self.forwarder.take_stream(self.port)
    }

    /// Ends it, and says why the Pod's side has ended, if something was wrong there.
    pub async fn end(mut self) -> Option<String> {
        let error = self.forwarder.take_error(self.port)?;
        let said = timeout(LAST_WORDS, error).await.ok().flatten();
        self.forwarder.abort();
        said.map(|said| said.replace(char::is_control, " ").trim().to_owned())
    }
}

async fn patient<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, ReachError> {
    let answer = timeout(PATIENCE, answer).await;
    Ok(answer.or(Err(ReachError::Silent))??)
}

/// Endpoints that say which Pod they are; whether they are ready the slice says.
fn pods_of(slice: &EndpointSlice, namespace: &str) -> Vec<PodFacts> {
    let endpoints = slice.endpoints.iter().flatten();
    let pods = endpoints.filter_map(|endpoint| {
        let target = endpoint.target_ref.as_ref()?;
        let is_pod = target.kind.as_deref() == Some("Pod");
        let address = convert::parse_address(endpoint.addresses.first()?)?;
        is_pod.then_some(PodFacts {
            name: Name::new(namespace, target.name.as_deref()?),
            labels: BTreeMap::new(),
            addresses: vec![address],
            ready: true,
        })
    });
    pods.collect()
}
