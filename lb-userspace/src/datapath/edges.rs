// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which interfaces carry our programs, and keeping it so while links come and go.
//!
//! Level-triggered: whatever netlink tells, the links are listed anew and compared with what is
//! attached, so a lost message costs nothing but the time until the next one.

mod choose;
mod early;
mod glob;
mod links;
mod addresses;
mod pods;
mod uplinks;

pub use choose::{Globs, Role};
pub use glob::{BadGlob, Glob};

use super::{
    Datapath,
    attach::{self, Attacher, Backend},
    chain,
    early::{Early, XdpWish},
    lock::Lock,
    pin::{Folder, Hook, Place},
};
use crate::{causes::with_causes, clock};
use choose::{Choice, choose};
use links::{Links, News};
use pods::PodLinks;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};
use uplinks::{Known, Uplinks};

/// How soon what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often the hooks are checked for programs that somebody has removed.
pub(super) const CHECK: Duration = Duration::from_secs(5);

/// One interface that we serve, or would like to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeState {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// What it is to us.
    pub role: Role,
    /// By which means the programs are attached; `None` = they are not.
    pub backend: Option<Backend>,
    /// Why not, as a sentence; empty = all is well.
    pub problem: String,
    /// How XDP runs there, of an uplink; `None` = it does not.
    pub xdp: Option<Early>,
    /// Why it does not, as a sentence; empty = nobody wants it to, or it does.
    pub xdp_problem: String,
    /// As what others know the node there, of an uplink.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Programs on the hooks that are not ours, as `hook: name (id N)`.
    pub foreign: Vec<String>,
}

/// Following the links cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("following network interfaces through netlink: {action}")]
pub struct EdgesError {
    action: &'static str,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// The edges of this node.
#[derive(Debug)]
pub struct Edges {
    attacher: Attacher,
    folder: Folder,
    globs: Globs,
    tcx: bool,
    /// How often the hooks are looked at.
    check: Duration,
    links: Links,
    pod_links: PodLinks,
    uplinks: Uplinks,
    early: early::Uplinks,
    /// What is attached, by interface; an error is a sentence.
    attached: BTreeMap<u32, Result<(), String>>,
    /// Who else is on the hooks, as of the last look.
    foreign: BTreeMap<u32, Vec<String>>,
    _lock: Lock,
}

impl Edges {
    /// Over loaded programs. Needs a running tokio.
    pub(super) fn new(
        datapath: Datapath,
        globs: Globs,
        xdp: XdpWish,
        check: Duration,
    ) -> Result<Self, EdgesError> {
        let Datapath {
            mut attacher,
            pins,
            tcx,
            lock,
            is_new: _,
        } = datapath;
        Ok(Self {
            pod_links: PodLinks::of(&mut attacher.ebpf),
            uplinks: Uplinks::of(&mut attacher.ebpf),
            early: early::Uplinks::new(xdp, &mut attacher),
            attacher,
            folder: pins.current(),
            globs,
            tcx,
            check,
            links: Links::open()?,
            attached: BTreeMap::new(),
            foreign: BTreeMap::new(),
            _lock: lock,
        })
    }

    /// Attaches, and goes on attaching, until netlink fails. `report` gets each new state.
    pub async fn follow(
        mut self,
        mut report: impl FnMut(Vec<EdgeState>),
    ) -> Result<std::convert::Infallible, EdgesError> {
        let mut last = None;
        let mut looked = clock::runtime();
        loop {
            let choices = self.settle().await?;
            let states = self.states(&choices);
            let failing = choices.iter().any(|(ifindex, choice)| {
                choice.refusal.is_none() && !self.attached.get(ifindex).is_some_and(Result::is_ok)
            });
            if last.as_ref() != Some(&states) {
                if states.is_empty() {
                    tracing::warn!(
                        "no interface is one that --edge or --uplink means: until there is one, \
                         no packet is looked at"
                    );
                }
                report(states.clone());
                last = Some(states);
            }
            let pause = if failing {
                RETRY.min(self.check)
            } else {
                self.check
            };
            let news = self.links.changed(pause).await?;
            // However much there is to hear of links.
            if news != News::OfLinks || looked.elapsed() >= self.check {
                self.inspect_all().await?;
                looked = clock::runtime();
            }
        }
    }

    /// Makes what is attached be what is wanted.
    async fn settle(&mut self) -> Result<BTreeMap<u32, Choice>, EdgesError> {
        let choices = choose(&self.links.list().await?, &self.globs);
        let pinned: BTreeSet<_> = self
            .folder
            .places()
            .into_iter()
            .map(|place| place.ifindex)
            .collect();
        for ifindex in pinned {
            let wanted = choices
                .get(&ifindex)
                .is_some_and(|choice| choice.refusal.is_none());
            if !wanted {
                self.detach(ifindex).await;
            }
        }
        self.attached
            .retain(|ifindex, _| choices.contains_key(ifindex));
        self.foreign
            .retain(|ifindex, _| choices.contains_key(ifindex));
        // Before the first packet comes: where it enters decides what it gets.
        self.tell_of_uplinks(&choices);
        for (ifindex, choice) in &choices {
            if let Some(refusal) = choice.refusal {
                self.failed(*ifindex, choice, refusal.to_string());
            } else if !self.attached.get(ifindex).is_some_and(Result::is_ok) {
                self.attach(*ifindex, choice);
                self.inspect(*ifindex, &BTreeMap::new()).await;
            }
        }
        // After TC, which does what it leaves.
        self.early
            .settle(&mut self.attacher, &self.folder, &choices);
        self.tell_of_uplinks(&choices);
        let of_pods = choices.iter().filter(|(_, choice)| choice.leads_into_pod);
        self.pod_links
            .set(&of_pods.map(|(ifindex, _)| *ifindex).collect());
        for ifindex in self.attacher.take_idle_qdiscs() {
            self.remove_qdisc(ifindex).await;
        }
        Ok(choices)
    }

    /// Tells the programs which interfaces are uplinks, and as what they are known there.
    fn tell_of_uplinks(&mut self, choices: &BTreeMap<u32, Choice>) {
        let uplinks = choices
            .iter()
            .filter(|(_, choice)| choice.role == Role::Uplink);
        let known = |(ifindex, choice): (&u32, &Choice)| {
            let runs = self.early.state(*ifindex).0.is_some();
            let foreign = self.foreign.get(ifindex);
            let is_free =
                foreign.is_some_and(|foreign| foreign.iter().all(|who| may_be_missed(who)));
            let known = Known {
                addresses: choice.addresses,
                station: choice.nic.station,
                takes_frames: runs && is_free,
            };
            (*ifindex, known)
        };
        let known = uplinks.map(known).collect();
        self.uplinks.set(&known);
    }

    fn attach(&mut self, ifindex: u32, choice: &Choice) {
        let attached = Hook::ALL.into_iter().try_for_each(|hook| {
            self.attacher
                .attach(&self.folder, Place { ifindex, hook }, None)
        });
        match attached {
            Ok(()) => {
                tracing::info!(interface = choice.name, ifindex, "serving");
                self.attached.insert(ifindex, Ok(()));
            }
            // It went between the list and now; the next list will not have it.
            Err(error) if error.interface_gone() => {}
            Err(error) => self.failed(ifindex, choice, with_causes(&error)),
        }
    }

    /// Remembers why an interface is not served; says it once.
    fn failed(&mut self, ifindex: u32, choice: &Choice, sentence: String) {
        let known = self
            .attached
            .get(&ifindex)
            .and_then(|known| known.as_ref().err());
        if known != Some(&sentence) {
            tracing::warn!(interface = choice.name, ifindex, "{sentence}");
        }
        self.attached.insert(ifindex, Err(sentence));
    }

    /// Takes our programs off an interface that is gone or no longer wanted.
    async fn detach(&mut self, ifindex: u32) {
        let mut made_qdisc = false;
        // No new flows first; replies of old ones to the last.
        for hook in Hook::ALL.into_iter().rev() {
            match attach::detach(&self.folder, Place { ifindex, hook }) {
                Ok(made) => made_qdisc |= made,
                Err(error) => tracing::warn!(ifindex, "{}", with_causes(&error)),
            }
        }
        if made_qdisc {
            self.remove_qdisc(ifindex).await;
        }
        self.attached.remove(&ifindex);
        tracing::info!(ifindex, "no longer serving");
    }

    async fn remove_qdisc(&self, ifindex: u32) {
        let removed = chain::remove_empty_qdisc(self.links.netlink(), ifindex).await;
        if let Err(error) = removed {
            tracing::warn!(ifindex, "{}", with_causes(&error));
        }
    }

    /// Looks at the hooks of everything we serve: what somebody removed is attached anew.
    async fn inspect_all(&mut self) -> Result<(), EdgesError> {
        let queues = self.links.queues().await?;
        let serving: Vec<_> = self.attached.keys().copied().collect();
        for ifindex in serving {
            self.inspect(ifindex, &queues).await;
        }
        Ok(())
    }

    /// Looks at the hooks of one interface: whether we are still there, and who else is.
    async fn inspect(&mut self, ifindex: u32, queues: &BTreeMap<u32, String>) {
        let mut foreign = Vec::new();
        let queue = queues.get(&ifindex);
        foreign.extend(queue.map(|kind| format!("egress: qdisc {kind}")));
        for hook in Hook::ALL {
            let place = Place { ifindex, hook };
            let runners = chain::list(self.links.netlink(), place, self.tcx).await;
            let (Ok(ours), Ok(runners)) = (self.attacher.program_id(hook), runners) else {
                continue;
            };
            let (own, others): (Vec<_>, Vec<_>) = runners
                .into_iter()
                .partition(|runner| runner.id == Some(ours));
            if own.is_empty() && self.attached.get(&ifindex).is_some_and(Result::is_ok) {
                tracing::warn!(ifindex, hook = hook.name(), "our program was removed");
                self.attached.remove(&ifindex);
            }
            foreign.extend(others.into_iter().map(|runner| match runner.id {
                Some(id) => format!("{}: {} (id {id})", hook.name(), runner.name),
                None => format!("{}: {}", hook.name(), runner.name),
            }));
        }
        self.foreign.insert(ifindex, foreign);
    }

    /// Who else takes packets there.
    fn foreign_at(&self, ifindex: u32, choice: &Choice) -> Vec<String> {
        let program = self.early.foreign(choice);
        let program = program.map(|id| format!("ingress: xdp (id {id})"));
        let others = self.foreign.get(&ifindex).into_iter().flatten().cloned();
        program.into_iter().chain(others).collect()
    }

    fn states(&self, choices: &BTreeMap<u32, Choice>) -> Vec<EdgeState> {
        let state = |(ifindex, choice): (&u32, &Choice)| {
            let result = self.attached.get(ifindex)?.clone();
            let (xdp, xdp_problem) = self.early.state(*ifindex);
            Some(EdgeState {
                name: choice.name.clone(),
                ifindex: *ifindex,
                role: choice.role,
                backend: result.is_ok().then(|| self.attacher.backend()),
                problem: result.err().unwrap_or_default(),
                xdp,
                xdp_problem,
                addresses: choice.addresses_of_uplink(),
                foreign: self.foreign_at(*ifindex, choice),
            })
        };
        choices.iter().filter_map(state).collect()
    }
}

/// Queueing disciplines that do no more than keep packets until the NIC takes them.
const PLAIN_QUEUES: [&str; 5] = ["mq", "mqprio", "pfifo_fast", "fq", "fq_codel"];

/// Whether packets may leave without meeting who is there ([`EdgeState::foreign`]).
fn may_be_missed(who: &str) -> bool {
    let queue = who.strip_prefix("egress: qdisc ");
    !who.starts_with("egress") || queue.is_some_and(|kind| PLAIN_QUEUES.contains(&kind))
}
