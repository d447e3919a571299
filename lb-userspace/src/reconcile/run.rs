// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop: gathers changes, lets the reconciler write, and says what came of it.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::mpsc,
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

/// Reconciles until the stream of changes ends, and hands a report on after each round.
///
/// Fails only if the maps cannot be read at the start. Writes block the thread; a round of one
/// changed Service is some ten system calls.
pub async fn run(
    mut changes: mpsc::Receiver<Change>,
    mut store: impl Store,
    settings: Settings,
    mut report: impl FnMut(Report),
) -> Result<(), StoreError> {
    let settings = Settings {
        epoch_s: clock::unix_s(),
        ..settings
    };
    let mut reconciler = Reconciler::restore(&store, &settings)?;
    let start = clock::runtime();
    let now_ns = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut pause = None;
    let (mut seen, mut last_queued_ns) = ([0; 2], 0);
    while wait(&mut changes, pause, settings.batch, &mut reconciler).await {
        let round_ns = now_ns();
        reconciler.sync(&mut store, round_ns);
        let due_ns = reconciler.next_due_ns(round_ns);
        pause = due_ns.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns())));
        let took_ns = now_ns().saturating_sub(round_ns);
        let last_sync_ns = clock::unix_ns();
        let since = |then_ns| Duration::from_nanos(last_sync_ns.saturating_sub(then_ns));
        let programmed = reconciler.take_programmed().into_iter();
        let state = reconciler.report();
        if state.changes != seen {
            seen = state.changes;
            last_queued_ns = last_sync_ns.saturating_sub(took_ns);
        }
        let waited = |since_ns| now_ns().saturating_sub(since_ns);
        report(Report {
            programmed: programmed.map(since).collect(),
            // By a clock that others have as well.
            pending_since_ns: state
                .pending_since_ns
                .map(|since_ns| clock::monotonic_ns().saturating_sub(waited(since_ns))),
            last_queued_ns,
            last_sync_ns,
            took_ns,
            ..state
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
