// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server says about itself.

use axum::{
    Json,
    http::{HeaderMap, header},
};
use serde_json::{Value, json};

use super::objects::Resource;

pub(super) fn version() -> Json<Value> {
    Json(json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.2",
        "gitCommit": "98b35193b2ac7a23a673325f5e9b830ecd5ba406",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.26.4",
        "compiler": "gc",
        "platform": "linux/amd64",
    }))
}

/// The server's address is the one that the client has dialled.
pub(super) fn api(headers: &HeaderMap) -> Json<Value> {
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let address = json!({"clientCIDR": "0.0.0.0/0", "serverAddress": host});
    Json(json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [address],
    }))
}

pub(super) fn apis() -> Json<Value> {
    let version = json!({"groupVersion": "discovery.k8s.io/v1", "version": "v1"});
    Json(json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{
            "name": "discovery.k8s.io",
            "versions": [version],
            "preferredVersion": version,
        }],
    }))
}

pub(super) fn resources(group_version: &str) -> Json<Value> {
    let served = Resource::ALL
        .into_iter()
        .filter(|it| it.api_version() == group_version);
    let served = served.map(|resource| {
        json!({
            "name": resource.plural(),
            "singularName": resource.kind().to_lowercase(),
            "namespaced": resource.is_namespaced(),
            "kind": resource.kind(),
            "verbs": ["list", "watch"],
        })
    });
    Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": served.collect::<Vec<_>>(),
    }))
}
