// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own answers: they go on while there is no agent, as far as they may.

use std::{fs, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use tests::wait;

use super::{DNS, dig, scene};

const SHOP: &str = "shop.default.svc.cluster.local";
const NOBODY: &str = "nobody.default.svc.cluster.local";
/// Longer than the lease.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_is_there_is_answered_without_an_agent_and_what_is_not_for_a_while() -> anyhow::Result<()> {
    let mut scene = scene()?;
    for server in DNS {
        let server = format!("@{server}");
        let found = dig(&scene, &[&server, "shop.default.svc.cluster.local.", "A"])?;
        assert_eq!(found, "NOERROR 10.96.0.20");
    }
    let mut command = scene.client.namespace.command(&scene.weiche.program);
    let question = ["10.1.0.5:40000", &format!("{}:53/UDP", DNS[0])];
    command
        .arg("explain")
        .args(question)
        .envs(scene.weiche.variables());
    let explained = String::from_utf8(command.output()?.stdout)?;
    assert!(explained.contains("weiche dns explain NAME"), "{explained}");
    scene.kill_agent()?;
    let server = format!("@{}", DNS[0]);
    let ask = |name: &str| dig(&scene, &[&server, &format!("{name}."), "A"]);
    let count = |reason| Ok::<u64, anyhow::Error>(scene.weiche.ends()?.count("ingress", reason));
    let before = [count("name_found")?, count("name_unknown")?];
    assert!(before[0] >= 2, "the agent has answered: {before:?}");
    assert_eq!(ask(SHOP)?, "NOERROR 10.96.0.20");
    assert_eq!(ask(NOBODY)?, "NXDOMAIN");
    let after = [count("name_found")?, count("name_unknown")?];
    assert_eq!(after, before.map(|count| count + 1));
    wait::until("the lease to end", PATIENCE, || {
        ask(NOBODY).is_err().then_some(())
    })?;
    assert_eq!(ask(SHOP)?, "NOERROR 10.96.0.20", "addresses need no lease");
    Ok(())
}

/// Asked in the client's namespace, where the kernel answers.
#[test]
fn who_answers_is_explained() -> anyhow::Result<()> {
    let scene = scene()?;
    let resolv_conf = scene.lab.dir().join("resolv.conf");
    let text = format!(
        "search default.svc.cluster.local svc.cluster.local cluster.local\n\
         nameserver {}\noptions ndots:5\n",
        DNS[0]
    );
    fs::write(&resolv_conf, text)?;
    let explain = |words: &[&str]| {
        let mut command = scene.client.namespace.command(&scene.weiche.program);
        command.args(["dns", "explain", "-o", "json"]).args(words);
        command.arg("--resolv-conf").arg(&resolv_conf);
        let output = command.envs(scene.weiche.variables()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).context(said.into_owned())?;
        let each = rows.iter().map(|row| {
            let text = |key: &str| row[key].as_str().unwrap_or("nobody").to_owned();
            format!("{} {} {}", text("name"), text("status"), text("by"))
        });
        anyhow::Ok(each.collect::<Vec<_>>())
    };
    for (words, expected) in [
        (
            &["shop"][..],
            &["shop.default.svc.cluster.local. NOERROR kernel"][..],
        ),
        (&["db"], &["db.default.svc.cluster.local. NOERROR server"]),
        (
            &["shop.default"],
            &[
                "shop.default.default.svc.cluster.local. NXDOMAIN kernel",
                "shop.default.svc.cluster.local. NOERROR kernel",
            ],
        ),
        // The kernel is asked at the Service's address alone.
        (
            &["shop", "--server", "192.0.2.10"],
            &["shop.default.svc.cluster.local. NOERROR server"],
        ),
    ] {
        assert_eq!(explain(words)?, expected, "{words:?}");
    }
    Ok(())
}
