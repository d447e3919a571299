// SPDX-License-Identifier: MIT OR Apache-2.0
//! How Pods are found and reached: straight, or through the API server.

use super::{Chosen, Meant};
use crate::{
    model::Name,
    netns::Netns,
    watch::{
        cluster::{
            self,
            reach::{Reach, ReachError, Stream},
        },
        snapshot::{PodFacts, Snapshot},
        standalone,
    },
};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{copy, copy_bidirectional, split},
    net::TcpStream,
    pin, select,
    sync::Mutex,
    time::timeout,
};

/// For a Pod to take a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a Pod may go on after its client has said all, through the API server.
const LINGER: Duration = Duration::from_secs(60);

/// Which way is meant.
#[derive(Clone, Debug)]
pub enum Through {
    /// To Pods that folders of manifests state.
    Straight {
        /// The folders.
        manifests: Vec<PathBuf>,
        /// The network namespace that Pods are reached from; none: ours.
        namespace: Option<PathBuf>,
    },
    /// To Pods of a cluster, wherever they are.
    ApiServer {
        /// How it is reached; none: as Kubernetes tells Pods.
        kubeconfigs: Vec<PathBuf>,
    },
}

/// There is no way to Pods.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// A folder is not there.
    #[error(transparent)]
    Folder(#[from] standalone::StartError),
    /// The namespace is none.
    #[error("--node-netns {path} is no network namespace that we may enter")]
    Namespace {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// No client can be made.
    #[error(transparent)]
    Cluster(#[from] cluster::StartError),
    /// The API server does not help.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The Pod does not.
    #[error(transparent)]
    Dial(io::Error),
    /// An endpoint that no Pod is, and so is not reached through the API server.
    #[error("it is no Pod, and the API server leads to Pods alone")]
    NoPod,
}

/// A way that is open.
pub(super) enum Way {
    Straight {
        manifests: Vec<PathBuf>,
        namespace: Option<Arc<Netns>>,
    },
    ApiServer(Box<Mutex<Reach>>),
}

/// A connection to a Pod.
pub(super) enum Link {
    Straight(TcpStream),
    ApiServer(Stream),
}

impl Way {
    pub(super) async fn open(through: Through) -> Result<Self, WayError> {
        match through {
            Through::Straight {
                manifests,
                namespace,
            } => {
                standalone::check(&manifests)?;
                let namespace = namespace.map(|path| {
                    let netns = Netns::open(&path);
                    let entered = netns.and_then(|it| it.run(|| Ok(())).map(|()| Arc::new(it)));
                    entered.map_err(|cause| WayError::Namespace { path, cause })
                });
                let namespace = namespace.transpose()?;
                Ok(Self::Straight {
                    manifests,
                    namespace,
                })
            }
            Through::ApiServer { kubeconfigs } => {
                let reach = Reach::open(kubeconfigs).await?;
                Ok(Self::ApiServer(Box::new(Mutex::new(reach))))
            }
        }
    }

    /// What there is now of what is meant.
    pub(super) async fn look(&self, meant: &Meant) -> Result<Snapshot, WayError> {
        match self {
            Self::Straight { manifests, .. } => Ok(standalone::snapshot::read(manifests.clone())),
            Self::ApiServer(reach) => {
                let mut reach = reach.lock().await;
                let found = look_through(&reach, meant).await;
                if found.is_err() {
                    // Tokens end, and servers move: the next one to ask reads files anew.
                    reach.renew().await;
                }
                Ok(found?)
            }
        }
    }

    pub(super) async fn dial(&self, chosen: &Chosen) -> Result<Link, WayError> {
        match self {
            Self::Straight { namespace, .. } => {
                let stream = dial(chosen.address, namespace.clone()).await;
                Ok(Link::Straight(stream.map_err(WayError::Dial)?))
            }
            Self::ApiServer(reach) => {
                let pod = chosen.pod.as_ref().ok_or(WayError::NoPod)?;
                let stream = reach
                    .lock()
                    .await
                    .stream(pod, chosen.address.port())
                    .await?;
                Ok(Link::ApiServer(stream))
            }
        }
    }
}

/// One Pod, for whoever wants to be where it is.
pub async fn pod(through: Through, name: &Name) -> Result<Option<PodFacts>, WayError> {
    let way = Way::open(through).await?;
    let found = way.look(&Meant::Pod(name.clone())).await?;
    Ok(found.pods.into_iter().find(|pod| pod.name == *name))
}

async fn look_through(reach: &Reach, meant: &Meant) -> Result<Snapshot, ReachError> {
    match meant {
        Meant::Service(name) => reach.service(name).await,
        Meant::Labels(namespace, labels) => reach.labelled(namespace, labels).await,
        Meant::Pod(name) => {
            let found = reach.pod(name).await?;
            if found.pods.is_empty() {
                // Perhaps a Service was meant; its Pods were not.
                let changes = reach.service(name).await?.changes;
                return Ok(Snapshot { changes, ..found });
            }
            Ok(found)
        }
    }
}

impl Link {
    /// Copies until it is over; what the Pod's side has to say of a bad end.
    pub(super) async fn join(self, mut client: TcpStream) -> Option<String> {
        match self {
            Self::Straight(mut pod) => {
                // Either side may go whenever it likes.
                let _ended = copy_bidirectional(&mut client, &mut pod).await;
                None
            }
            Self::ApiServer(mut stream) => {
                {
                    let (mut from_pod, mut to_pod) = split(stream.take()?);
                    let (mut from_client, mut to_client) = client.split();
                    let answered = copy(&mut from_pod, &mut to_client);
                    pin!(answered);
                    // The way has no half-closed connections: a client that has said all, and
                    // waits for the answer, would be cut off if that was handed on.
                    select! {
                        _over = &mut answered => {}
                        _said = copy(&mut from_client, &mut to_pod) => {
                            let _over = timeout(LINGER, answered).await;
                        }
                    }
                }
                drop(client);
                stream.end().await
            }
        }
    }
}

async fn dial(address: SocketAddr, namespace: Option<Arc<Netns>>) -> io::Result<TcpStream> {
    let connect = move || {
        let stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let dialled = tokio::task::spawn_blocking(move || match namespace {
        Some(namespace) => namespace.run(connect),
        None => connect(),
    });
    TcpStream::from_std(dialled.await.map_err(io::Error::other)??)
}
