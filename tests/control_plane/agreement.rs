// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two agents that learn the same in different order build identical tables, slot by slot: so a
//! node that takes over a flow finds the backend that the other one chose.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anyhow::ensure;
use lb_common::wire::{CHUNK_SLOTS, Node};
use lb_userspace::{
    maps::{Frontend, Store as _, backend_address, faulty::Faulty, memory::Memory},
    reconcile::Settings,
};
use tests::{
    chance::Chance,
    control::{
        AMPLE, Agent,
        worlds::{NODE, Objects},
    },
    figures,
};

#[test]
fn of_agents_that_learned_in_different_order() {
    figures::check("agents-agree", |run| {
        let mut slots = 0;
        for index in 0..run.size {
            let mut chance = Chance::new(run.seed, index);
            let before = Objects::random(&mut chance);
            let mut after = before.clone();
            after.change(&mut chance, 3);

            let mut direct = agent()?;
            direct.note(after.listing(&mut chance));
            direct.settle()?;
            let mut indirect = agent()?;
            indirect.note(before.listing(&mut chance));
            indirect.settle()?;
            for change in before.differences(&after, &mut chance) {
                indirect.note([change]);
                indirect.sync();
            }
            indirect.settle()?;
            let tables = tables(&direct.store.store)?;
            let others = self::tables(&indirect.store.store)?;
            let differ = |frontend: &&Frontend| tables.get(frontend) != others.get(frontend);
            let all = tables.keys().chain(others.keys());
            let differing: BTreeSet<_> = all.filter(differ).collect();
            ensure!(differing.is_empty(), "stream {index}: {differing:?}");
            slots += tables.values().map(Vec::len).sum::<usize>();
        }
        Ok(vec![("slots", slots.into()), ("differences", 0.into())])
    });
}

fn agent() -> anyhow::Result<Agent> {
    let store = Faulty::new(Memory::new(AMPLE), 0, 0);
    let node = Node {
        seed: [7, 11],
        ..Node::default()
    };
    Agent::start(store, Settings::new(NODE, node))
}

/// The backends behind each frontend, slot by slot.
fn tables(store: &Memory) -> anyhow::Result<BTreeMap<Frontend, Vec<Option<SocketAddr>>>> {
    let backends = store.backends()?.into_iter();
    let backends: BTreeMap<_, _> = backends
        .map(|(id, backend)| (id, backend_address(&backend)))
        .collect();
    let mut tables = BTreeMap::new();
    for (frontend, service) in store.frontends()? {
        let chunks = store.chunks(service.first_chunk, service.slot_count / CHUNK_SLOTS)?;
        let slots = chunks.iter().flat_map(|chunk| chunk.backends);
        let slots = slots.map(|slot| backends.get(&slot.id()).copied());
        tables.insert(frontend, slots.collect());
    }
    Ok(tables)
}
