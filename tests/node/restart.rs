// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent may die and come back, with other sizes too: no flow notices.

use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    traffic::{Burst, Load, burst},
};

use crate::{scene::Scene, untranslated::Untranslated};

/// Flows that stay open all the time; fewer in a run that is smaller than the figure's small size,
/// as the kernel matrix makes it, for its machines are slow.
const OPEN: u64 = 200;
/// New flows each second; likewise.
const PER_SECOND: u64 = 500;

#[test]
fn a_killed_agent_interrupts_nothing() {
    figures::check("agent-killed", |run| kill_and_restart(run, "65536"));
}

#[test]
fn a_restart_with_more_room_interrupts_nothing() {
    figures::check("agent-killed-flows-doubled", |run| {
        kill_and_restart(run, "131072")
    });
}

#[test]
fn programs_are_verified_once() -> anyhow::Result<()> {
    for attach in ["tcx", "clsact"] {
        let mut scene = Scene::with_agent(2, &["--attach", attach])?;
        let mut first_ids = (0..).step_by(100);
        let mut restart = |before: fn(&Scene) -> anyhow::Result<()>| {
            let old = scene.program_ids()?;
            scene.kill_agent()?;
            before(&scene)?;
            scene.start_agent(&["--attach", attach])?;
            for (first_id, route) in (&mut first_ids).zip(scene.routes()) {
                let few = Burst::of(route, 20).first_id(first_id);
                let report = scene.client.namespace.block_on(|| burst(few))?;
                scene.check(&report)?;
            }
            let after = scene.program_ids()?;
            let kept = old.iter().filter(|id| after.contains(id)).count();
            anyhow::Ok((old.len(), kept))
        };
        let nothing = |_: &Scene| Ok(());
        assert_eq!(restart(nothing)?, (6, 6), "{attach}: the same binary");
        assert_eq!(
            restart(Scene::disown_programs)?,
            (6, 0),
            "{attach}: an upgrade"
        );
        assert_eq!(restart(nothing)?, (6, 6), "{attach}: after an upgrade");
        let lost = restart(Scene::lose_a_map)?;
        assert_eq!(lost, (6, 0), "{attach}: a map whose pin is gone");
    }
    Ok(())
}

/// A third of the flows before, a third while the agent is dead, a third after its return.
fn kill_and_restart(run: Run, flows: &str) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut scene = Scene::with_agent(3, &["--flows", "65536"])?;
    let (open, per_second) = (OPEN.min(run.size / 20), PER_SECOND.min(run.size / 48));
    let untranslated = Untranslated::watch(&scene)?;
    let load = Load::start(&scene.client.namespace, scene.routes(), open, per_second)?;
    let third = usize::try_from(run.size / 3)?;
    load.wait_for(third)?;
    scene.kill_agent()?;
    load.wait_for(third)?;
    // As after an upgrade: the programs on the hooks are another version's, and are replaced.
    scene.disown_programs()?;
    scene.start_agent(&["--flows", flows])?;
    load.wait_for(third)?;
    let report = load.stop()?;
    scene.check(&report)?;
    untranslated.none(&scene)?;
    let messages: u64 = report.sent.values().sum();
    Ok(vec![
        ("failed", json!(0)),
        ("flows", json!(report.sent.len())),
        ("messages", json!(messages)),
    ])
}
