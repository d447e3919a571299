// SPDX-License-Identifier: MIT OR Apache-2.0
//! glibc's resolver, with a `resolv.conf` as the kubelet writes it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context as _;

use super::{DNS, scene};
use crate::scene::Scene;

/// What `getent` is asked, and which addresses or names it finds.
const QUESTIONS: &[(&str, &str, &[&str])] = &[
    ("ahostsv4", "shop", &["10.96.0.20"]),
    ("ahostsv4", "shop.default", &["10.96.0.20"]),
    ("ahostsv4", "shop.default.svc", &["10.96.0.20"]),
    (
        "ahostsv4",
        "shop.default.svc.cluster.local",
        &["10.96.0.20"],
    ),
    ("ahostsv4", "SHOP", &["10.96.0.20"]),
    ("ahosts", "shop", &["10.96.0.20", "fd00:10:96::20"]),
    ("ahosts", "lonely", &["10.96.0.21"]),
    ("ahosts", "db", &["10.1.0.7", "10.1.0.8", "fd00:1::7"]),
    ("ahosts", "db-0.db", &["10.1.0.7", "fd00:1::7"]),
    ("ahosts", "10-1-0-8.db", &["10.1.0.8"]),
    ("ahosts", "early", &["10.1.0.9"]),
    ("ahosts", "asleep", &[]),
    ("ahostsv4", "alias", &["10.96.0.20"]),
    ("ahosts", "nothing", &[]),
    ("hosts", "10.96.0.20", &["shop.default.svc.cluster.local"]),
    (
        "hosts",
        "fd00:10:96::20",
        &["shop.default.svc.cluster.local"],
    ),
    ("hosts", "10.1.0.7", &["db-0.db.default.svc.cluster.local"]),
    (
        "hosts",
        "10.1.0.8",
        &["10-1-0-8.db.default.svc.cluster.local"],
    ),
    ("hosts", "10.96.0.99", &[]),
];

#[test]
fn pods_find_services_by_short_names() -> anyhow::Result<()> {
    let scene = scene()?;
    let resolv_conf = scene.lab.dir().join("resolv.conf");
    let text = format!(
        "search default.svc.cluster.local svc.cluster.local cluster.local\n\
         nameserver {}\noptions ndots:5\n",
        DNS[0]
    );
    fs::write(&resolv_conf, text)?;
    for (database, key, expected) in QUESTIONS {
        let found = getent(&scene, &resolv_conf, database, key)?;
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, *expected, "{database} {key}");
    }
    Ok(())
}

/// What it finds in the client's pod: names for an address, addresses for a name.
fn getent(
    scene: &Scene,
    resolv_conf: &Path,
    database: &str,
    key: &str,
) -> anyhow::Result<BTreeSet<String>> {
    let inside = format!(
        "mount --bind {} /etc/resolv.conf && exec getent {database} {key}",
        resolv_conf.display()
    );
    let mut command = scene.client.namespace.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &inside]);
    let output = command.output().context("starting getent")?;
    // 2: the key is not there.
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(matches!(output.status.code(), Some(0 | 2)), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let column = usize::from(database == "hosts");
    let lines = text.lines();
    let found = lines.filter_map(|line| line.split_whitespace().nth(column));
    Ok(found.map(str::to_owned).collect())
}
