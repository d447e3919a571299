// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Pod's status as a manifest of its own, to be merged with the one that people wrote.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::Context as _;
use serde_json::json;
use tests::netns::{Node, Pod};

use crate::manifests::Name;

/// Writes the status of a Pod in one step: readers see the old one or the new one.
pub(super) fn write(folder: &Path, name: &Name, pod: &Pod, ready: bool) -> anyhow::Result<()> {
    let word = |holds| if holds { "True" } else { "False" };
    let condition = |kind: &str, holds: bool| json!({"type": kind, "status": word(holds)});
    let status = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": name.namespace, "name": name.name},
        // What a scheduler would have written.
        "spec": {"nodeName": Node::NAME},
        "status": {
            "phase": "Running",
            "hostIP": Node::V4,
            "hostIPs": [{"ip": Node::V4}, {"ip": Node::V6}],
            "podIP": pod.v4,
            "podIPs": [{"ip": pod.v4}, {"ip": pod.v6}],
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", true),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
        },
    });
    let text = serde_saphyr::to_string(&status).context("writing YAML")?;
    let path = folder.join(file_name(name));
    // A name that nobody takes for a manifest.
    let draft = path.with_extension("draft");
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, &path))
        .with_context(|| format!("writing {}", path.display()))
}

/// Takes a Pod's status away.
pub(super) fn remove(folder: &Path, name: &Name) -> anyhow::Result<()> {
    let path = folder.join(file_name(name));
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("removing {}", path.display())),
    }
}

fn file_name(name: &Name) -> String {
    format!("{}_{}.yaml", name.namespace, name.name)
}
