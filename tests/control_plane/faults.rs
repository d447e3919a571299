// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever fails, and whenever the agent dies: in the end the maps are what they should be, and
//! nothing has leaked.

use anyhow::{Context as _, ensure};
use lb_common::wire::Node;
use lb_userspace::{
    maps::{Capacity, faulty::Faulty, memory::Memory},
    reconcile::Settings,
};
use tests::{
    chance::Chance,
    control::{
        AMPLE, Agent, dump,
        worlds::{NODE, Objects},
    },
    figures,
};

#[test]
fn delay_and_leak_nothing() {
    figures::check("map-faults", |run| {
        let mut failed = 0;
        for index in 0..run.size {
            let mut chance = Chance::new(run.seed, index);
            let life = live(&mut chance, AMPLE, run.seed ^ index);
            failed += life.with_context(|| format!("stream {index}"))?;
        }
        Ok(vec![("failed calls", failed.into()), ("leaks", 0.into())])
    });
}

#[test]
fn in_maps_that_are_too_small_leak_nothing() {
    let tight = Capacity {
        frontends: 6,
        backends: 9,
        chunks: 16,
    };
    figures::check("small-maps", |run| {
        for index in 0..run.size {
            let mut chance = Chance::new(run.seed, index);
            let life = live(&mut chance, tight, run.seed ^ index);
            life.with_context(|| format!("stream {index}"))?;
        }
        Ok(vec![("leaks", 0.into())])
    });
}

/// An agent's life under faults, through changing worlds and deaths; how many calls failed.
fn live(chance: &mut Chance, capacity: Capacity, seed: u64) -> anyhow::Result<u64> {
    let per_mille = *chance.pick(&[100, 300, 500]);
    let store = Faulty::new(Memory::new(capacity), per_mille, seed);
    let mut agent = Agent::start(store, Settings::new(NODE, Node::default()))?;
    let mut objects = Objects::random(chance);
    agent.note(objects.listing(chance));
    for _ in 0..6 {
        for _ in 0..chance.below(4) {
            agent.sync();
        }
        let old = objects.clone();
        objects.change(chance, 3);
        if chance.one_in(4) {
            agent.restart()?;
            agent.note(objects.listing(chance));
        } else {
            agent.note(old.differences(&objects, chance));
        }
        if chance.one_in(3) {
            agent.settle()?;
        }
    }
    agent.settle()?;
    if capacity == AMPLE {
        let mut sound = Agent::start(
            Faulty::new(Memory::new(capacity), 0, seed),
            Settings::new(NODE, Node::default()),
        )?;
        sound.note(objects.listing(chance));
        sound.settle()?;
        let found = dump::all(&agent.store.store)?;
        let wanted = dump::all(&sound.store.store)?;
        ensure!(found == wanted, "found:\n{found}wanted:\n{wanted}");
    }
    agent.note(objects.differences(&Objects::default(), chance));
    agent.settle()?;
    agent.check_empty()?;
    Ok(agent.store.failed())
}
