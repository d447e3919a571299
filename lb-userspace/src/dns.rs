// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own DNS server: Services' names, from the same model as their addresses.
//!
//! In the order of a change: the model → [`zone`]; in the order of a query: [`server`] → [`answer`]
//! → [`zone`], or [`forward`] for names that are not the cluster's.

pub mod zone;
pub mod answer;
pub mod forward;
pub mod server;
pub mod clients;
pub mod resolv_conf;
mod kept;
mod answers;
pub mod kernel;
pub mod foretell;
pub mod shadow;
pub mod client;

pub use answers::Answers;
pub use kept::Kept;

use self::{
    answer::{Reply, Transport},
    kernel::Table,
    zone::Zone,
};
use crate::{
    clock,
    model::{Name, World},
};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::IpAddr,
    path::Path,
    sync::{Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::Notify;

/// The file is not written more often.
const KEEP_AGAIN: Duration = Duration::from_secs(2);
/// Between two times that the kernel is allowed to say what is not there.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// What the server answers from, while the agent changes it.
#[derive(Debug)]
pub struct Names {
    zone: RwLock<Zone>,
    kernel: Mutex<Option<Table>>,
    changed: Notify,
    answers: Answers,
}

impl Names {
    /// Answers from this zone, and counts what it answers; so does the kernel, by its table.
    pub fn new(zone: Zone, kernel: Option<Table>, answers: Answers) -> Self {
        Self {
            zone: RwLock::new(zone),
            kernel: Mutex::new(kernel),
            changed: Notify::new(),
            answers,
        }
    }

    /// Takes in what has become of these Services.
    pub fn update(&self, world: &World, touched: &BTreeSet<Name>) {
        let mut zone = self.zone.write().unwrap_or_else(PoisonError::into_inner);
        zone.update(world, touched, clock::unix_s());
        // The server waits meanwhile, so that both say the same.
        if let Some(table) = &mut *self.kernel() {
            table.follow(&zone, world, touched, clock::monotonic_ns());
        }
        drop(zone);
        self.changed.notify_one();
    }

    /// Answers from what an agent before has kept, until there is a complete world.
    pub fn restore(&self, state_dir: &Path) {
        match Kept::read(state_dir) {
            Ok(kept) => {
                let mut zone = self.zone.write().unwrap_or_else(PoisonError::into_inner);
                zone.restore(&kept.names, clock::unix_s());
                if let Some(table) = &*self.kernel()
                    && table.serial() > 0
                {
                    zone.set_serial(table.serial());
                }
            }
            // None, as at the first start, or one that makes no sense: there will be a list soon.
            Err(error) => tracing::debug!("the names of the last agent: {error}"),
        }
    }

    /// Keeps the names for the next agent, as they change.
    pub async fn keep(&self, state_dir: &Path) -> Infallible {
        let mut written = None;
        loop {
            self.changed.notified().await;
            let (serial, kept) = {
                let zone = self.zone();
                let domain = zone.origin().to_ascii();
                let names = || zone.list();
                let is_news = written != Some(zone.serial());
                (
                    zone.serial(),
                    is_news.then(|| Kept {
                        domain,
                        names: names(),
                    }),
                )
            };
            match kept.map(|kept| kept.write(state_dir)) {
                Some(Err(error)) => {
                    tracing::warn!("keeping names in {}: {error}", state_dir.display());
                }
                _ => written = Some(serial),
            }
            tokio::time::sleep(KEEP_AGAIN).await;
        }
    }

    /// Lets the kernel go on saying what is not there.
    pub async fn renew(&self) -> Infallible {
        loop {
            self.renew_once();
            tokio::time::sleep(RENEW_AGAIN).await;
        }
    }

    fn renew_once(&self) {
        let zone = self.zone();
        if let Some(table) = &mut *self.kernel() {
            table.renew(&zone, clock::monotonic_ns());
        }
    }

    /// What becomes of a query.
    pub fn reply(&self, query: &[u8], transport: Transport, asks: bool) -> Reply {
        answer::reply(&self.zone(), query, transport, asks)
    }

    /// The cluster's domain.
    pub fn domain(&self) -> String {
        self.zone().origin().to_ascii()
    }

    /// Counts an answer that is sent.
    pub fn count(&self, answer: &[u8]) {
        self.answers.count(answer);
    }

    /// Whether this is a Service's address.
    pub fn has_service_at(&self, address: IpAddr) -> bool {
        self.zone().has_service_at(address)
    }

    fn kernel(&self) -> std::sync::MutexGuard<'_, Option<Table>> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn zone(&self) -> std::sync::RwLockReadGuard<'_, Zone> {
        self.zone.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod testing;
