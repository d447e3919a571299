// SPDX-License-Identifier: MIT OR Apache-2.0
//! XDP in the kernel's own code: nobody gets it who has not asked for it, and who has is served by
//! it as by any other way. How XDP runs at a link is `ip`'s to say.

use std::process::Command;

use anyhow::{Context as _, ensure};
use tests::{
    netns::{Namespace, RpFilter},
    wait,
};

use super::{
    Exposure, ROWS, Row,
    early::{PATIENCE, bridged, takes, wait_for_bridge},
    serve, try_all,
};
use crate::{
    region::{Region, VISITOR},
    scene::Scene,
};

/// What the uplink is, besides what it is on top of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uplink {
    /// Its driver has XDP, which sums that are left to be made speak against.
    Veth,
    /// Its driver has none.
    Bridge,
}

/// How XDP runs: what `weiche status` says of it, as JSON and to people (before a reason, where
/// there is one), and what `ip` does.
type Runs = (Option<&'static str>, &'static str, Option<&'static str>);

const NATIVE: Runs = (Some("native"), " and XDP", Some("xdp"));
const GENERIC: Runs = (Some("generic"), " and generic XDP", Some("xdpgeneric"));
/// Somebody wants it, so there is a reason.
const LACKING: Runs = (None, ", without XDP: ", None);
const UNWANTED: Runs = (None, "", None);

/// Each wish at each uplink, one agent after the other: whoever comes takes away what the last one
/// had and it does not want.
const CELLS: [(Uplink, &[(&str, Runs)]); 2] = [
    (
        Uplink::Veth,
        &[
            ("generic", GENERIC),
            ("native", NATIVE),
            ("generic", GENERIC),
            ("auto", LACKING),
            ("off", UNWANTED),
        ],
    ),
    (
        Uplink::Bridge,
        &[
            ("auto", LACKING),
            ("native", LACKING),
            ("generic", GENERIC),
            ("native", LACKING),
            ("generic", GENERIC),
            ("off", UNWANTED),
        ],
    ),
];

#[test]
fn generic_xdp_serves_who_asks_for_it_and_nobody_else() -> anyhow::Result<()> {
    for (uplink, wishes) in CELLS {
        let region = Region::set(RpFilter::Off)?;
        if uplink == Uplink::Bridge {
            bridged(&region.scene.node)?;
        }
        // Whole sums, which XDP trusts in the kernel's own code as well.
        let _takes = takes(&region)?;
        let mut region = serve(region, &["--xdp=off"])?;
        for (wish, runs) in wishes {
            let cell = || format!("{uplink:?}, {wish}");
            region.scene.kill_agent()?;
            let flags = [
                "--external-ips",
                "--direct-delivery=on",
                &format!("--xdp={wish}"),
            ];
            region.scene.start_agent(&flags)?;
            let tried = try_cell(&region, *runs).with_context(cell);
            tried.with_context(|| region.scene.last_words())?;
        }
    }
    Ok(())
}

/// That XDP runs so, once the agent has come to the uplink, and that all traffic is served.
fn try_cell(region: &Region, runs: Runs) -> anyhow::Result<()> {
    let mut last = Ok(());
    let settled = wait::until("the uplink to be served", PATIENCE, || {
        last = runs_so(&region.scene, runs);
        last.is_ok().then_some(())
    });
    settled.or(last)?;
    wait_for_bridge(region)?;
    serves(region, runs.0.is_some())
}

/// That XDP runs at the uplink as all of these say.
fn runs_so(scene: &Scene, (state, words, of_kernel): Runs) -> anyhow::Result<()> {
    let status = scene.status()?;
    let mut edges = status["status"]["edges"].as_array().into_iter().flatten();
    let edge = edges.find(|edge| edge["name"] == "eth0");
    let edge = edge.context("no eth0 in the status")?;
    ensure!(edge["xdp"].as_str() == state, "{edge}");
    let mut command = Command::new(&scene.weiche.program);
    let output = command
        .arg("status")
        .envs(scene.weiche.variables())
        .output();
    let text = String::from_utf8(output.context("starting weiche")?.stdout)?;
    let line = text.lines().find(|line| line.contains("eth0 (uplink"));
    let line = line.context("no line of eth0")?;
    let (_, said) = line.split_once("serving by ").context(line.to_owned())?;
    // Behind the word for TC's way, which is the kernel's to choose.
    let said = said.trim_start_matches(char::is_alphanumeric);
    let is_said = match words.strip_suffix(": ") {
        Some(_) => said.len() > words.len() && said.starts_with(words),
        None => said == words,
    };
    ensure!(is_said, "{line}");
    let attached = attached(&scene.node.namespace)?;
    ensure!(attached.as_deref() == of_kernel, "the kernel: {attached:?}");
    Ok(())
}

/// By which name the kernel knows what is attached to the uplink, if anything is.
fn attached(node: &Namespace) -> anyhow::Result<Option<String>> {
    let mut command = Command::new("ip");
    command.args(["-n", node.name(), "-o", "link", "show", "dev", "eth0"]);
    let output = command.output().context("starting ip")?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace();
    Ok(words
        .find(|word| word.starts_with("xdp"))
        .map(str::to_owned))
}

/// That all traffic is served, and by which hook.
fn serves(region: &Region, by_xdp: bool) -> anyhow::Result<()> {
    const ENDS: [(&str, &str); 4] = [
        ("xdp", "relayed"),
        ("xdp", "relayed_back"),
        ("xdp", "continued"),
        ("egress", "masqueraded"),
    ];
    let count = || {
        let counts = ENDS.map(|(hook, reason)| region.scene.counted(hook, reason));
        counts.into_iter().collect::<anyhow::Result<Vec<u64>>>()
    };
    let before = count()?;
    let sees = |row: &Row, exposure| match exposure {
        Exposure::ClusterIp => row.4,
        _ => row.5,
    };
    // Those that are served: what is not is waited for.
    let rows = [ROWS[0], ROWS[2]];
    try_all(&region.visitor, VISITOR, &rows, sees)?;
    for ((end, before), after) in ENDS.iter().zip(before).zip(count()?) {
        let is_met = (end.0 == "xdp") == by_xdp;
        ensure!(
            (after > before) == is_met,
            "{end:?}: {before}, then {after}"
        );
    }
    Ok(())
}
