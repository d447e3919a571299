// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking everything of one pin folder off the node. What is not ours stays.

use super::{
    attach::{self, AttachError},
    chain::{self, ChainError},
    early,
    kernel::{self, Unfit},
    lock::{self, LockError},
    pin::{PinError, Pins},
};
use std::{collections::BTreeSet, io, path::Path};

/// Something of ours is still there.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// Not allowed.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// An agent lives.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// A program stays on its hook.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A qdisc stays.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A pin stays.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Netlink cannot be reached.
    #[error("opening a netlink socket")]
    Netlink(#[source] io::Error),
}

/// Detaches and removes; returns on how many hooks we were, `None` where no such folder is. Needs a
/// running tokio.
pub async fn clean_up(pin_dir: &Path) -> Result<Option<usize>, CleanupError> {
    kernel::check()?;
    let pins = Pins::new(pin_dir);
    if !pins.root().exists() {
        return Ok(None);
    }
    // Before anything else: whatever the flag says, only pins are ever removed.
    pins.check()?;
    let _lock = lock::take(pins.root())?;
    let mut hooks = BTreeSet::new();
    let mut made_qdiscs = BTreeSet::new();
    let mut early = BTreeSet::new();
    for folder in pins.folders() {
        // No new flows first; replies of old ones to the last.
        for ifindex in folder.xdp_links() {
            early::detach(&folder, ifindex)?;
            early.insert(ifindex);
        }
        for place in folder.places().into_iter().rev() {
            if attach::detach(&folder, place)? {
                made_qdiscs.insert(place.ifindex);
            }
            hooks.insert(place);
        }
        folder.remove()?;
    }
    if !made_qdiscs.is_empty() {
        let (connection, netlink, _) =
            rtnetlink::new_connection().map_err(CleanupError::Netlink)?;
        tokio::spawn(connection);
        for ifindex in made_qdiscs {
            chain::remove_empty_qdisc(&netlink, ifindex).await?;
        }
    }
    pins.remove_root()?;
    Ok(Some(hooks.len() + early.len()))
}
