// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked of an API server, and what the role in `deploy/cluster/weiche.yaml` allows.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, bail};
use k8s_openapi::api::rbac::v1::ClusterRole;

use crate::api_server::ApiServer;

/// Verb, group and resource.
pub type Right = (String, String, String);

/// The documents of a file in `deploy/`.
pub fn documents(name: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let parts = text.split("\n---\n");
    parts
        .map(|part| Ok(serde_saphyr::from_str(part)?))
        .collect()
}

/// What the server was asked for so far. A request that no role could allow by list and watch is
/// an error.
pub fn asked(server: &ApiServer) -> anyhow::Result<BTreeSet<Right>> {
    let requests = server.requests();
    requests.iter().map(|request| right(request)).collect()
}

/// What the role allows.
pub fn allowed() -> anyhow::Result<BTreeSet<Right>> {
    let documents = documents("cluster/weiche.yaml")?;
    let role = documents.iter().find(|it| it["kind"] == "ClusterRole");
    rights_of(role.context("no ClusterRole")?)
}

/// What it allows where names are served.
pub fn allowed_with_names() -> anyhow::Result<BTreeSet<Right>> {
    let documents = documents("cluster/weiche.yaml")?;
    let role = documents.iter().find(|it| it["kind"] == "ClusterRole");
    let mut role = role.context("no ClusterRole")?.clone();
    add(&mut role, "dns/role.json")?;
    rights_of(&role)
}

/// Does to a document what a patch of `deploy/` says, which only adds to lists.
pub fn add(document: &mut serde_json::Value, file: &str) -> anyhow::Result<()> {
    let steps = &documents(file)?[0];
    for step in steps.as_array().context("a patch is a list")? {
        let at = step["path"].as_str().unwrap_or_default();
        let list = at.strip_suffix("/-").filter(|_| step["op"] == "add");
        let list = list.and_then(|list| document.pointer_mut(list)?.as_array_mut());
        let list = list.with_context(|| format!("{file}: {at} is no list to add to"))?;
        list.push(step["value"].clone());
    }
    Ok(())
}

fn rights_of(role: &serde_json::Value) -> anyhow::Result<BTreeSet<Right>> {
    let role: ClusterRole = serde_json::from_value(role.clone())?;
    let mut allowed = BTreeSet::new();
    for rule in role.rules.iter().flatten() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    allowed.insert((verb.clone(), group.clone(), resource.clone()));
                }
            }
        }
    }
    Ok(allowed)
}

fn right(request: &str) -> anyhow::Result<Right> {
    let path = request
        .strip_prefix("GET ")
        .context("a verb that changes something")?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_watch = query
        .split('&')
        .any(|part| matches!(part, "watch=true" | "watch=1"));
    let (group, resource) = match path.split('/').collect::<Vec<_>>()[..] {
        ["", "api", "v1", resource] => ("", resource),
        ["", "apis", group, "v1", resource] => (group, resource),
        _ => bail!("{path} is no list of a kind"),
    };
    let verb = if is_watch { "watch" } else { "list" };
    Ok((verb.to_owned(), group.to_owned(), resource.to_owned()))
}
