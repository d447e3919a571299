// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether translated packets may pass the host's stack by (`lb_common::delivery`).
//!
//! What only a packet's own route, headers and source decide, the packet path asks for each of
//! them. Here is the rest: whether anybody would see packets in the stack who does not see them
//! past it. `auto` lets them pass while nobody would, and says so to the kernel for half a minute
//! at a time, since a proof that nobody renews proves nothing.

mod netfilter;
mod netlink;
mod news;
mod obstacle;
mod routes;

pub use obstacle::{Obstacle, Why};

use crate::{
    clock,
    datapath::edges::EdgeState,
    maps::{
        StoreError,
        kernel::{KernelStore, OpenError},
    },
};
use news::{News, Topic};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, path::Path, time::Duration};
use tokio::{sync::watch, time::sleep};

/// What `--direct-delivery` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Where nobody in the host's stack would see the packets.
    #[default]
    Auto,
    /// Always, whoever in the host's stack is skipped.
    On,
    /// Never.
    Off,
}

impl Mode {
    /// As [`lb_common::wire::Node::direct_until_ns`] says it at a start.
    pub const fn until_ns(self) -> u64 {
        match self {
            Self::On => u64::MAX,
            Self::Auto | Self::Off => 0,
        }
    }

    /// How often interfaces are looked at for others' programs, where that matters.
    pub const fn look(self) -> Option<Duration> {
        match self {
            Self::Auto => Some(LOOK),
            Self::On | Self::Off => None,
        }
    }
}

/// How often everything is looked at of which there is no notification: iptables' tables, IPVS,
/// settings, and programs that were attached by links.
const LOOK: Duration = Duration::from_millis(400);
/// How often what was asked for is written again, should somebody have written something else.
const KEEP: Duration = Duration::from_secs(5);
/// Between two looks, however much is notified.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a proof holds, and how much of that is left at least.
const HOLDS_NS: u64 = 30_000_000_000;
const RENEWED_NS: u64 = 20_000_000_000;

/// Whether packets pass the stack by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What was asked for.
    pub mode: Mode,
    /// Whether they do.
    pub on: bool,
    /// Why `auto` does not let them.
    pub obstacles: Vec<Obstacle>,
}

/// Keeps the kernel's setting as the mode has it.
pub struct Keeper {
    mode: Mode,
    store: KernelStore,
    edges: watch::Receiver<Vec<EdgeState>>,
    /// Routes with an MTU of their own, as last read; there may be very many routes, so they are
    /// read when they have changed.
    routes: Option<Vec<String>>,
}

impl Keeper {
    /// Over the maps in a folder, hearing of the edges.
    pub fn new(
        mode: Mode,
        maps: &Path,
        edges: watch::Receiver<Vec<EdgeState>>,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            mode,
            store: KernelStore::open(maps)?,
            edges,
            routes: None,
        })
    }

    /// Goes on doing so, and tells of each change.
    pub async fn run(mut self, report: impl Fn(State)) -> Result<Infallible, StoreError> {
        let mut news = News::open();
        let mut last = None;
        if self.mode == Mode::Auto {
            // What an earlier run has proved counts for nothing until interfaces were looked at.
            self.store.put_direct_until(0)?;
            let _known = self.edges.changed().await;
        }
        loop {
            let state = self.settle()?;
            if last.as_ref() != Some(&state) {
                tell(&state, last.as_ref());
                report(state.clone());
                last = Some(state);
            }
            sleep(PAUSE).await;
            tokio::select! {
                // If the sender is gone, its own end says why.
                _changed = self.edges.changed() => {}
                topic = news.wait(), if self.mode == Mode::Auto => {
                    self.routes.take_if(|_| topic == Topic::Routes);
                }
                () = sleep(self.mode.look().unwrap_or(KEEP)) => {}
            }
            self.routes.take_if(|_| !news.hears_of_routes());
        }
    }

    /// Makes the setting what it should be.
    fn settle(&mut self) -> Result<State, StoreError> {
        let obstacles = match self.mode {
            Mode::Auto => obstacle::find(&self.edges.borrow_and_update(), &mut self.routes),
            Mode::On | Mode::Off => Vec::new(),
        };
        let (on, until_ns) = match self.mode {
            Mode::Off => (false, 0),
            Mode::Auto if !obstacles.is_empty() => (false, 0),
            Mode::On => (true, u64::MAX),
            Mode::Auto => {
                let until_ns = self.store.node()?.direct_until_ns;
                (true, renewed(until_ns, clock::monotonic_ns()))
            }
        };
        self.store.put_direct_until(until_ns)?;
        Ok(State {
            mode: self.mode,
            on,
            obstacles,
        })
    }
}

/// Until when a proof of now holds; not written anew each time.
fn renewed(until_ns: u64, now_ns: u64) -> u64 {
    let fresh_ns = now_ns.saturating_add(HOLDS_NS);
    let is_ours = until_ns <= fresh_ns;
    if is_ours && until_ns > now_ns.saturating_add(RENEWED_NS) {
        until_ns
    } else {
        fresh_ns
    }
}

fn tell(state: &State, last: Option<&State>) {
    let was_on = last.is_some_and(|last| last.on);
    match (state.on, state.obstacles.first()) {
        (true, _) if !was_on => tracing::info!("packets pass the host's stack by"),
        (false, Some(obstacle)) if was_on || last.is_none() => {
            tracing::info!(%obstacle, "packets go through the host's stack");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_renewed_before_it_lapses() {
        let now_ns = 100_000_000_000;
        for (until_ns, wanted_ns) in [
            (0, now_ns + HOLDS_NS),
            (now_ns + RENEWED_NS, now_ns + HOLDS_NS),
            (now_ns + RENEWED_NS + 1, now_ns + RENEWED_NS + 1),
            // Of a run with `on`.
            (u64::MAX, now_ns + HOLDS_NS),
        ] {
            assert_eq!(renewed(until_ns, now_ns), wanted_ns, "{until_ns}");
        }
    }
}
