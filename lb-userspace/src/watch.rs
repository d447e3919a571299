// SPDX-License-Identifier: MIT OR Apache-2.0
//! One stream of [`Change`](crate::model::Change) from whichever source there is.
//!
//! Nothing after this module knows whether objects came from a cluster or from folders of
//! manifests. It knows no plan and no map.
//!
//! The stream, the same in both modes: for each kind a `Listing`, the objects, and a `Listed`;
//! then single changes. A kind may be listed again at any time, and a list may be broken off and
//! begun anew, so a second `Listing` before `Listed` starts over. Kinds do not wait for each other.

pub mod cluster;
pub mod standalone;
pub mod local;
pub mod convert;
pub mod snapshot;
pub mod status;

use tokio::{sync::watch, task::JoinHandle};

use self::status::Status;

/// A running source of changes; dropping it ends the stream.
#[derive(Debug)]
pub struct Handle {
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Handle {
    fn new(
        status: watch::Receiver<Status>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            status,
            task: tokio::spawn(work),
        }
    }

    /// The source's state, now and as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
