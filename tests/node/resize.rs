// SPDX-License-Identifier: MIT OR Apache-2.0
//! Restarts with other sizes and other attachments, and agents that die in the middle of them.

use std::{fs, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    traffic::{Load, Protocol},
    wait,
};

use crate::{scene::Scene, untranslated::Untranslated};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn sizes_that_do_not_fit_are_refused_and_nothing_is_touched() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(3, &["--flows", "1000"])?;
    let load = Load::start(&scene.client.namespace, scene.routes(), 40, 0)?;
    wait::until("40 flows", PATIENCE, || {
        let flows: Vec<Value> = scene.weiche.list(&["flow", "list"]).ok()?;
        (flows.len() >= 40).then_some(())
    })?;
    scene.kill_agent()?;
    for (flag, value) in [("--flows", "10"), ("--backends", "2"), ("--frontends", "1")] {
        let mut flags = vec![flag, value];
        if flag != "--flows" {
            flags.extend(["--flows", "1000"]);
        }
        let refused = scene.start_agent(&flags);
        let said = format!(
            "{:#}",
            refused.err().context("a size that does not fit is taken")?
        );
        assert!(
            said.contains(&format!("{flag} {value} is too small")),
            "{said}"
        );
        assert!(!scene.weiche.pins.join("next").exists());
    }
    // The flows are all there, and go on.
    let flows: Vec<Value> = scene.weiche.list(&["flow", "list"])?;
    assert!(flows.len() >= 40);
    scene.start_agent(&["--flows", "1000"])?;
    scene.check(&load.stop()?)
}

#[test]
fn an_agent_that_dies_while_moving_loses_no_flow() {
    figures::check("agent-killed-while-moving", |run| {
        kill_while_moving(run, "tcx")
    });
}

#[test]
fn filters_move_like_links() {
    figures::check("agent-killed-while-moving-clsact", |run| {
        kill_while_moving(run, "clsact")
    });
}

/// Restarts with other sizes again and again, and kills the agent a little later each time.
fn kill_while_moving(run: Run, attach: &str) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let sizes = ["20000", "30000"];
    let mut scene = Scene::with_agent(3, &["--attach", attach, "--flows", "20000"])?;
    let untranslated = Untranslated::watch(&scene)?;
    let load = Load::start(&scene.client.namespace, scene.routes(), 40, 100)?;
    let mut size = 0;
    for round in 0..run.size {
        scene.kill_agent()?;
        size = 1 - size;
        let flags = ["--attach", attach, "--flows", sizes[size]];
        // From the first system calls to well behind the last one.
        let life =
            Duration::from_millis(1_500) * u32::try_from(round + 1)? / u32::try_from(run.size)?;
        scene.launch_agent(&flags)?;
        load.wait_for(usize::try_from(life.as_millis() / 10)?)?;
    }
    scene.kill_agent()?;
    scene.start_agent(&["--attach", attach, "--flows", "40000"])?;
    load.wait_for(100)?;
    let report = load.stop()?;
    scene.check(&report)?;
    untranslated.none(&scene)?;
    let left = fs::read_dir(&scene.weiche.pins)?.count();
    anyhow::ensure!(left == 1, "{left} folders of pins");
    let finished = scene.last_words().matches("finishing the move").count();
    Ok(vec![
        ("failed", json!(0)),
        ("flows", json!(report.sent.len())),
        ("moves_finished_by_the_next", json!(finished)),
    ])
}

#[test]
fn open_flows_survive_another_way_of_attaching() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(3, &["--attach", "tcx"])?;
    let untranslated = Untranslated::watch(&scene)?;
    // The kernel sends nothing for some milliseconds while a clsact qdisc comes or goes
    // (`dev_deactivate` in `qdisc_graft`): TCP repeats, datagrams would be lost.
    let mut routes = scene.routes();
    routes.retain(|route| route.protocol == Protocol::Tcp);
    let load = Load::start(&scene.client.namespace, routes, 40, 0)?;
    for attach in ["clsact", "tcx"] {
        scene.kill_agent()?;
        scene.start_agent(&["--attach", attach])?;
    }
    scene.check(&load.stop()?)?;
    untranslated.none(&scene)
}

#[test]
fn pins_without_a_counter_are_started_anew() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(3, &[])?;
    let load = Load::start(&scene.client.namespace, scene.routes(), 0, 100)?;
    load.wait_for(50)?;
    drop(load);
    scene.kill_agent()?;
    fs::remove_file(scene.weiche.layout().join("maps/COUNTER"))?;
    scene.start_agent(&[])?;
    scene.wait_for_backends(3)?;
    let flows: Vec<Value> = scene.weiche.list(&["flow", "list"])?;
    assert_eq!(flows, [Value::Null; 0]);
    assert!(
        scene.last_words().contains("starting anew"),
        "{}",
        scene.last_words()
    );
    Ok(())
}

#[test]
fn pins_of_another_layout_are_refused() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(1, &[])?;
    scene.kill_agent()?;
    fs::rename(scene.weiche.layout(), scene.weiche.pins.join("v999"))?;
    let refused = scene
        .start_agent(&[])
        .err()
        .context("another layout is taken")?;
    let said = format!("{refused:#}");
    assert!(
        said.contains("layout 999") && said.contains("weiche cleanup"),
        "{said}"
    );
    assert!(!scene.weiche.layout().exists());
    Ok(())
}
