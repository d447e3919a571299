// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking over from a kube-proxy that serves this node, without breaking a connection of its.
//!
//! A first start on a node where netfilter translates connections goes in three steps, which
//! [`Takeover`] names and the packet path obeys (`lb_common::foreign`):
//!
//! 1. *Observing*: programs are attached and Services programmed, but every packet is left to the
//!    host's stack, and its flow is written down.
//! 2. netfilter's own list adds the flows that are silent just then; from now on we are *serving*:
//!    what is written down stays the host's, all else is ours.
//! 3. What conntrack no longer knows is struck off the list. When nothing is left we are *done*,
//!    and kube-proxy's rules can go.

mod conntrack;

pub use conntrack::{Conntrack, ConntrackError, Translated};

use crate::{
    causes::with_causes,
    clock,
    maps::{
        StoreError,
        kernel::{KernelForeign, KernelStore, OpenError},
    },
};
use lb_common::wire::{Foreign, Takeover};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, convert::Infallible, future::Future, path::Path, time::Duration};
use tokio::time::sleep;

/// For packets that passed an interface just before our programs came: they are in conntrack's
/// list once they have left the host's stack.
const SETTLE: Duration = Duration::from_millis(250);

/// How often conntrack is asked what has ended.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A flow that was seen so shortly before the list was read may not be in it yet. Packets write
/// their time down at most once a second.
const RECENT_NS: u64 = 2_000_000_000;

/// Flows that a report names.
const NAMED: usize = 5;

/// How far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whether no flow of ours begins yet.
    pub observing: bool,
    /// Flows that are left to the host's stack.
    pub flows: usize,
    /// Some of them.
    pub some: Vec<String>,
}

/// Taking over cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// A map cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A map cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// netfilter cannot be asked.
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
}

/// The agent's side of it.
pub struct Handover {
    conntrack: Conntrack,
    store: KernelStore,
    foreign: KernelForeign,
    state: Takeover,
}

impl Handover {
    /// Finds out where we are: at the beginning if the maps are new and netfilter translates
    /// connections, otherwise where the last agent was.
    pub async fn find(maps: &Path, is_new: bool) -> Result<Self, HandoverError> {
        let conntrack = Conntrack::open()?;
        let store = KernelStore::open(maps)?;
        let state = if is_new {
            match conntrack.translated().await {
                Ok(flows) if flows.is_empty() => Takeover::Done,
                Ok(flows) => {
                    let flows = flows.len();
                    tracing::info!(flows, "netfilter translates connections: taking over");
                    Takeover::Observing
                }
                Err(error) => {
                    tracing::warn!(
                        "{}: whether a kube-proxy serves connections is not known; those it may \
                         have are not spared",
                        with_causes(&error)
                    );
                    Takeover::Done
                }
            }
        } else {
            Takeover::from_number(store.node()?.takeover)
        };
        Ok(Self {
            foreign: KernelForeign::open(maps)?,
            conntrack,
            store,
            state,
        })
    }

    /// What the packet path shall go by until [`Handover::run`] changes it.
    pub fn state(&self) -> Takeover {
        self.state
    }

    /// Goes through the steps. `ready` ends when the programs are attached to all interfaces that
    /// are there, and all Services were written once.
    pub async fn run(
        mut self,
        ready: impl Future<Output = ()>,
        report: impl Fn(Progress),
    ) -> Result<Infallible, HandoverError> {
        if self.state == Takeover::Observing {
            report(Progress {
                observing: true,
                ..Progress::default()
            });
        }
        if self.state != Takeover::Done {
            ready.await;
            sleep(SETTLE).await;
        }
        while self.state != Takeover::Done {
            match self.round().await {
                Ok(progress) => report(progress),
                // A busy kernel may refuse a list; until then everything stays as it is.
                Err(error) => tracing::warn!("taking over: {}", with_causes(&error)),
            }
            sleep(ASK_AGAIN).await;
        }
        std::future::pending().await
    }

    /// Compares what is written down with conntrack's list, and takes the next step if it is due.
    async fn round(&mut self) -> Result<Progress, HandoverError> {
        let asked_ns = clock::monotonic_ns();
        let owned = owned(&self.conntrack, &self.store).await?;
        for flow in &owned {
            let foreign = Foreign {
                seen_ns: asked_ns,
                has_gone_on: u32::from(flow.has_gone_on),
                seen_ns_end: asked_ns,
                ..Foreign::default()
            };
            if !self.foreign.add((flow.client, flow.dialled), foreign)? {
                tracing::warn!("there are more flows of netfilter's than --flows; some may break");
                break;
            }
        }
        let owned: BTreeSet<_> = owned
            .iter()
            .map(|flow| (flow.client, flow.dialled))
            .collect();
        let mut left = Vec::new();
        for (ends, foreign) in self.foreign.list()? {
            let is_recent = asked_ns < foreign.seen_ns.saturating_add(RECENT_NS);
            if owned.contains(&ends) || is_recent {
                left.push(ends);
            } else {
                self.foreign.remove(ends, &foreign)?;
            }
        }
        let next = if left.is_empty() {
            Takeover::Done
        } else {
            Takeover::Serving
        };
        if next != self.state {
            self.store.put_takeover(next)?;
            self.state = next;
            tell(next, left.len());
        }
        let some = left.iter().take(NAMED);
        Ok(Progress {
            observing: false,
            flows: left.len(),
            some: some
                .map(|(client, dialled)| format!("{client} to {dialled}"))
                .collect(),
        })
    }
}

/// Flows to the Services in a store that netfilter translates.
pub async fn owned(
    conntrack: &Conntrack,
    store: &KernelStore,
) -> Result<Vec<Translated>, HandoverError> {
    let mut owned = Vec::new();
    for flow in conntrack.translated().await? {
        if store.serves(flow.dialled)? {
            owned.push(flow);
        }
    }
    Ok(owned)
}

fn tell(state: Takeover, flows: usize) {
    match state {
        Takeover::Observing => {}
        Takeover::Serving | Takeover::Moving => tracing::info!(
            flows,
            "serving; flows that netfilter has begun stay with it until they end"
        ),
        Takeover::Done => tracing::info!(
            "the last flow of netfilter's has ended; `weiche cleanup --kube-proxy` removes \
             kube-proxy's rules"
        ),
    }
}
