// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop: gathers changes, lets the reconciler write, and says what came of it.

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{Reconciler, Report, Settings};
use crate::{
    clock,
    maps::{Store, StoreError},
    model::{Change, Name, World},
};

/// Changes that one round takes at most, so that an endless stream still gets written.
const BATCH: usize = 65_536;

/// Reconciles until the stream of changes ends, and hands a report on after each round. Before it,
/// `renamed` is told which Services may have other names or addresses now: a name is there when
/// its address has been written.
///
/// Fails only if the maps cannot be read at the start. Writes block the thread; a round of one
/// changed Service is some ten system calls.
pub async fn run(
    mut changes: mpsc::Receiver<Change>,
    mut store: impl Store,
    settings: Settings,
    mut renamed: impl FnMut(&World, &BTreeSet<Name>),
    mut report: impl FnMut(Report),
) -> Result<(), StoreError> {
    let settings = Settings {
        epoch_s: clock::unix_s(),
        ..settings
    };
    let mut reconciler = Reconciler::restore(&store, &settings)?;
    let start = clock::runtime();
    let now_ns = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let (mut pause, mut last_round) = (None, None);
    let (mut seen, mut last_queued_ns) = ([0; 2], 0);
    let batch = settings.batch;
    while wait(&mut changes, pause, &mut last_round, batch, &mut reconciler).await {
        let round_ns = now_ns();
        reconciler.sync(&mut store, round_ns);
        let replanned = reconciler.take_replanned();
        if let Some(world) = reconciler.world() {
            renamed(world, &replanned);
        }
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
///
/// A change that comes alone is not kept waiting: changes are gathered only while the round that
/// took the last ones in is younger than `batch`.
async fn wait(
    changes: &mut mpsc::Receiver<Change>,
    pause: Option<Duration>,
    last_round: &mut Option<Instant>,
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
    let end = last_round.map_or_else(clock::runtime, |last| last + batch);
    for _ in 1..BATCH {
        let change = match changes.try_recv() {
            Ok(change) => Some(change),
            Err(_) if clock::runtime() >= end => None,
            Err(_) => timeout_at(end, changes.recv()).await.ok().flatten(),
        };
        match change {
            Some(change) => reconciler.note(change),
            None => break,
        }
    }
    *last_round = Some(clock::runtime());
    true
}
