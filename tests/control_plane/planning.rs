// SPDX-License-Identifier: MIT OR Apache-2.0
//! Planning change by change equals planning the final world at once.

use anyhow::ensure;
use lb_userspace::{
    model::{Change, Name, Touched, World},
    plan::Desired,
};
use tests::{
    chance::Chance,
    control::worlds::{NODE, Objects},
    figures,
};

#[test]
fn by_steps_equals_at_once() {
    figures::check("planning-by-steps", |run| {
        for index in 0..run.size {
            let mut chance = Chance::new(run.seed, index);
            let mut objects = Objects::random(&mut chance);
            let mut world = World::new(NODE);
            let mut desired = Desired::default();
            take_in(objects.listing(&mut chance), &mut world, &mut desired);
            for _ in 0..5 {
                let old = objects.clone();
                objects.change(&mut chance, 4);
                let changes = if chance.one_in(3) {
                    objects.listing(&mut chance)
                } else {
                    old.differences(&objects, &mut chance)
                };
                take_in(changes, &mut world, &mut desired);
            }
            let mut final_world = World::new(NODE);
            let mut at_once = Desired::default();
            for change in objects.listing(&mut chance) {
                final_world.apply(change);
            }
            for name in all(&final_world) {
                at_once.replan(&final_world, &name);
            }
            ensure!(
                desired == at_once,
                "stream {index}: {desired:#?}\n{at_once:#?}"
            );
        }
        Ok(vec![("differences", 0.into())])
    });
}

fn take_in(changes: Vec<Change>, world: &mut World, desired: &mut Desired) {
    for change in changes {
        let touched = match world.apply(change) {
            Touched::Services(names) => names.into_iter().collect(),
            Touched::Everything => all(world),
        };
        for name in touched {
            desired.replan(world, &name);
        }
    }
}

fn all(world: &World) -> Vec<Name> {
    world
        .services()
        .map(|service| service.name.clone())
        .collect()
}
