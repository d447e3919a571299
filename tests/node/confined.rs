// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent with the rights that `deploy/cluster/weiche.yaml` gives it, and no others: a few
//! capabilities, none to be had by any program, and a root that cannot be written to.

use std::{collections::BTreeSet, ffi::OsString, fs, time::Duration};

use anyhow::{Context as _, ensure};
use aya::programs::TcAttachType::Ingress;
use k8s_openapi::api::apps::v1::DaemonSet;
use tests::{
    foreign::{Stand, Then},
    netns::RpFilter,
    rights::documents,
    traffic::Load,
    wait,
};

use crate::{
    attach::index,
    foreign::{foreign_names, put},
    scene::Scene,
};

/// For the agent to say or do something.
const PATIENCE: Duration = Duration::from_secs(30);
/// Numbers of capabilities (include/uapi/linux/capability.h), for those that may be granted.
const NUMBERS: [(&str, u32); 3] = [("NET_ADMIN", 12), ("PERFMON", 38), ("BPF", 39)];

#[test]
fn with_the_rights_of_the_daemon_set_it_serves_and_comes_back() -> anyhow::Result<()> {
    for attach in ["tcx", "clsact"] {
        serve_and_come_back(attach).with_context(|| format!("by {attach}"))?;
    }
    Ok(())
}

fn serve_and_come_back(attach: &str) -> anyhow::Result<()> {
    let granted = granted()?;
    let mut scene = Scene::set(2, RpFilter::Off)?;
    // A container runtime makes the folders that it mounts.
    fs::create_dir(&scene.weiche.state)?;
    scene.weiche.confine = confine(&scene, &granted);
    scene.start_agent(&["--attach", attach])?;
    scene.wait_for_backends(2)?;
    let status = fs::read_to_string(format!("/proc/{}/status", pid(&scene)?))?;
    check(&status, &granted)?;
    let load = Load::start(&scene.client.namespace, scene.routes(), 20, 50)?;
    load.wait_for(50)?;
    scene.kill_agent()?;
    load.wait_for(50)?;
    scene.start_agent(&["--attach", attach])?;
    // A link that comes later is served as well.
    scene.add_backend()?;
    scene.wait_for_backends(3)?;
    load.wait_for(50)?;
    scene.kill_agent()?;
    // Other sizes: maps are copied, programs change places.
    scene.start_agent(&["--attach", attach, "--flows", "131072"])?;
    scene.wait_for_backends(3)?;
    load.wait_for(50)?;
    scene.check(&load.stop()?)?;
    if attach == "tcx" {
        others_are_seen(&scene)?;
    }
    Ok(())
}

/// Others are seen, though not asked for their names, and what somebody takes off is missed.
fn others_are_seen(scene: &Scene) -> anyhow::Result<()> {
    let _other = put(scene, Ingress, Stand::TcxFirst, Then::Pass)?;
    let names = foreign_names(scene, 1)?;
    ensure!(names[0].starts_with("ingress: unnamed (id "), "{names:?}");
    let index = index(&scene.node.namespace, &scene.client.link)?;
    let links = scene.weiche.layout().join("links");
    let pin = links.join(format!("{index}-ingress"));
    fs::remove_file(&pin)?;
    wait::until("our program again", PATIENCE, || pin.exists().then_some(()))
}

#[test]
fn each_of_these_rights_is_needed() -> anyhow::Result<()> {
    let granted = granted()?;
    for missing in &granted {
        let mut scene = Scene::set(1, RpFilter::Off)?;
        fs::create_dir(&scene.weiche.state)?;
        let mut others = granted.clone();
        others.remove(missing);
        scene.weiche.confine = confine(&scene, &others);
        let error = scene.start_agent(&[]).err().context("it started")?;
        let said = format!("{error:#}");
        ensure!(said.contains(&format!("missing CAP_{missing}:")), "{said}");
    }
    Ok(())
}

/// What the `DaemonSet` adds to nothing.
fn granted() -> anyhow::Result<BTreeSet<String>> {
    let documents = documents("cluster/weiche.yaml")?;
    let set = documents.iter().find(|it| it["kind"] == "DaemonSet");
    let set: DaemonSet = serde_json::from_value(set.context("no DaemonSet")?.clone())?;
    let pod = set.spec.template.spec.context("a pod")?;
    let context = pod.containers[0].security_context.clone();
    let context = context.context("a securityContext")?;
    assert_eq!(context.privileged, None);
    assert_eq!(context.allow_privilege_escalation, Some(false));
    assert_eq!(context.read_only_root_filesystem, Some(true));
    let capabilities = context.capabilities.context("capabilities")?;
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    Ok(capabilities.add.into_iter().flatten().collect())
}

/// A mount namespace in which only the lab can be written to, no new rights, and of the old ones
/// these.
fn confine(scene: &Scene, capabilities: &BTreeSet<String>) -> Vec<OsString> {
    let lab = scene.lab.dir().display();
    let mounts = format!(
        "mount --rbind {lab} {lab} && mount -o remount,bind,ro / && ! touch /written 2>&- && exec \"$@\""
    );
    let added = capabilities.iter().map(|name| format!(",+{name}"));
    let bounding = format!("--bounding-set=-all{}", added.collect::<String>());
    let words = [
        "unshare",
        "--mount",
        "--propagation=slave",
        "sh",
        "-c",
        &mounts,
        "sh",
        "setpriv",
        "--no-new-privs",
        "--inh-caps=-all",
        &bounding.to_lowercase(),
    ];
    words.map(OsString::from).to_vec()
}

fn pid(scene: &Scene) -> anyhow::Result<u64> {
    wait::until("the agent's pid", PATIENCE, || {
        let text = fs::read(scene.weiche.state.join("status.json")).ok()?;
        serde_json::from_slice::<serde_json::Value>(&text).ok()?["pid"].as_u64()
    })
}

/// That a process has these rights, and can get no others.
fn check(status: &str, granted: &BTreeSet<String>) -> anyhow::Result<()> {
    let number = |name: &str| NUMBERS.iter().find(|known| known.0 == name);
    let mut mask = 0_u64;
    for name in granted {
        mask |= 1 << number(name).with_context(|| format!("number of {name}"))?.1;
    }
    for (field, wanted) in [
        ("CapInh", format!("{:016x}", 0)),
        ("CapPrm", format!("{mask:016x}")),
        ("CapEff", format!("{mask:016x}")),
        ("CapBnd", format!("{mask:016x}")),
        ("CapAmb", format!("{:016x}", 0)),
        ("NoNewPrivs", "1".to_owned()),
    ] {
        let found = status.lines().find_map(|line| line.strip_prefix(field));
        let found = found.map(|rest| rest.trim_start_matches(':').trim());
        ensure!(
            found == Some(wanted.as_str()),
            "{field} is {found:?}, not {wanted}"
        );
    }
    Ok(())
}
