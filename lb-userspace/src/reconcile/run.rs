// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop: gathers changes, lets the reconciler write, and publishes what came of it.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{Reconciler, Report, Settings};
use crate::{
    clock,
    maps::{Store, StoreError},
    model::Change,
};

/// Changes that one round takes at most, so that an endless stream still gets written.
const BATCH: usize = 65_536;

/// Reconciles until the stream of changes ends.
///
/// Fails only if the maps cannot be read at the start. Writes block the thread; a round of one
/// changed Service is some ten system calls.
pub async fn run(
    mut changes: mpsc::Receiver<Change>,
    mut store: impl Store,
    settings: Settings,
    reports: watch::Sender<Report>,
) -> Result<(), StoreError> {
    let mut reconciler = Reconciler::restore(&store, &settings)?;
    let mut due_ns = None;
    while wait(&mut changes, due_ns, settings.batch, &mut reconciler).await {
        let now_ns = clock::monotonic_ns();
        reconciler.sync(&mut store, now_ns);
        due_ns = reconciler.next_due_ns(now_ns);
        reports.send_replace(Report {
            last_sync_s: clock::unix_s(),
            ..reconciler.report()
        });
    }
    Ok(())
}

/// Waits for a change, and what follows close upon it, or until something is due. False: the
/// stream has ended.
async fn wait(
    changes: &mut mpsc::Receiver<Change>,
    due_ns: Option<u64>,
    batch: Duration,
    reconciler: &mut Reconciler,
) -> bool {
    let first = match due_ns {
        Some(due_ns) => {
            let pause = due_ns.saturating_sub(clock::monotonic_ns());
            timeout(Duration::from_nanos(pause), changes.recv()).await
        }
        None => Ok(changes.recv().await),
    };
    match first {
        Err(_) => return true,
        Ok(None) => return false,
        Ok(Some(change)) => reconciler.note(change),
    }
    let mut end = pin!(sleep(batch));
    for _ in 1..BATCH {
        tokio::select! {
            biased;
            () = &mut end => break,
            change = changes.recv() => match change {
                Some(change) => reconciler.note(change),
                None => break,
            },
        }
    }
    true
}
