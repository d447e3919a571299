// SPDX-License-Identifier: MIT OR Apache-2.0
//! A crash may leave any prefix of the writes that lead from one world to another. Each must be
//! sound, and the next agent must be able to go on from it.

use anyhow::{Context as _, ensure};
use lb_common::wire::Node;
use lb_userspace::{
    maps::{Store as _, memory::Memory},
    model::Change,
    reconcile::{Reconciler, Settings},
};
use tests::{
    chance::Chance,
    control::{
        self, AMPLE, dump,
        journal::{Journal, Write},
        sound,
        worlds::{NODE, Objects},
    },
    figures,
};

const START_NS: u64 = 1_000_000_000;

#[test]
fn of_any_length_are_sound() {
    figures::check("prefix-safety", |run| {
        let mut prefixes = 0;
        for index in 0..run.size {
            let mut chance = Chance::new(run.seed, index);
            prefixes += pair(&mut chance).with_context(|| format!("stream {index}"))?;
        }
        Ok(vec![
            ("prefixes", prefixes.into()),
            ("violations", 0.into()),
        ])
    });
}

/// Two worlds, and every prefix of the way between them; how many there were.
fn pair(chance: &mut Chance) -> anyhow::Result<usize> {
    let before = Objects::random(chance);
    let mut after = before.clone();
    let rarity = 1 + chance.below(4);
    after.change(chance, rarity);

    let (mut reconciler, mut store) = agent(Memory::new(AMPLE))?;
    work(&mut reconciler, &mut store, before.listing(chance))?;
    let start = store.store.clone();
    store.writes.clear();
    let changes = before.differences(&after, chance);
    let rounds = work(&mut reconciler, &mut store, changes)?;
    let wanted = dump::all(&store.store)?;

    let crash = chance.below(store.writes.len().saturating_add(1));
    let mut remains = start.clone();
    let mut state = start.clone();
    for (index, write) in store.writes.iter().enumerate() {
        if index == crash {
            remains = state.clone();
        }
        write.apply(&mut state)?;
        sound::check(&state).with_context(|| format!("prefix {index}, {write:?}"))?;
        // A packet that read its Service just before is still on its way for the grace period.
        if is_within_grace(index, &rounds) {
            sound::check_late(&start.frontends()?, &state)
                .with_context(|| format!("late reader at prefix {index}, {write:?}"))?;
        }
    }
    ensure!(state == store.store, "the journal is not complete");
    if crash == store.writes.len() {
        remains = state;
    }
    go_on(remains, &after, &wanted, chance).with_context(|| format!("crash after {crash}"))?;
    Ok(store.writes.len())
}

/// Another agent finds what a crash left, and the world as it is now.
fn go_on(
    remains: Memory,
    world: &Objects,
    wanted: &str,
    chance: &mut Chance,
) -> anyhow::Result<()> {
    let (mut reconciler, mut store) = agent(remains)?;
    work(&mut reconciler, &mut store, world.listing(chance))?;
    let found = dump::all(&store.store)?;
    ensure!(found == wanted, "found:\n{found}wanted:\n{wanted}");
    let used = reconciler.report();

    let (mut again, mut store) = agent(store.store)?;
    work(&mut again, &mut store, world.listing(chance))?;
    let idle = |write: &&Write| {
        use Write::{PutNode, PutNodes, PutRanges};
        !matches!(write, PutNode(_) | PutNodes(_) | PutRanges(_))
    };
    let write = store.writes.iter().find(idle);
    ensure!(
        write.is_none(),
        "a restart without any change writes {write:?}"
    );
    let used_again = again.report();
    ensure!(
        used.backends_free == used_again.backends_free,
        "ids have leaked"
    );
    ensure!(
        used.chunks_free == used_again.chunks_free,
        "chunks have leaked"
    );

    work(
        &mut again,
        &mut store,
        world.differences(&Objects::default(), chance),
    )?;
    ensure!(store.store.frontends()?.is_empty(), "frontends are left");
    ensure!(store.store.backends()?.is_empty(), "backends are left");
    ensure!(store.store.labels()?.is_empty(), "labels are left");
    ensure!(
        again.report().chunks_free == AMPLE.chunks,
        "chunks are left"
    );
    Ok(())
}

fn agent(store: Memory) -> anyhow::Result<(Reconciler, Journal<Memory>)> {
    let settings = Settings::new(NODE, Node::default());
    let reconciler = Reconciler::restore(&store, &settings)?;
    Ok((reconciler, Journal::new(store)))
}

/// Lets the agent act on changes; when each round was, and how many writes were done by then.
fn work(
    reconciler: &mut Reconciler,
    store: &mut Journal<Memory>,
    changes: Vec<Change>,
) -> anyhow::Result<Vec<(u64, usize)>> {
    for change in changes {
        reconciler.note(change);
    }
    let mut now_ns = START_NS;
    let mut rounds = Vec::new();
    control::rest(reconciler, store, &mut now_ns, |store, now_ns| {
        rounds.push((now_ns, store.writes.len()));
        Ok(())
    })?;
    Ok(rounds)
}

fn is_within_grace(index: usize, rounds: &[(u64, usize)]) -> bool {
    let grace = Settings::new(NODE, Node::default()).grace;
    let round = rounds.iter().find(|(_, writes)| index < *writes);
    round.is_some_and(|(now_ns, _)| u128::from(now_ns - START_NS) < grace.as_nanos())
}
