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
    let start = clock::runtime();
    let now_ns = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut pause = None;
    while wait(&mut changes, pause, settings.batch, &mut reconciler).await {
        let round_ns = now_ns();
        reconciler.sync(&mut store, round_ns);
        let due_ns = reconciler.next_due_ns(round_ns);
        pause = due_ns.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns())));
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
    pause: Option<Duration>,
    batch: Duration,
    reconciler: &mut Reconciler,
) -> bool {
    let first = match pause {
        Some(pause) => timeout(pause, changes.recv()).await,
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
