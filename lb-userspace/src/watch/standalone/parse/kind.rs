// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which objects of a folder are read, and what is said of those that somebody may count on.

use std::cell::RefCell;

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_path_to_error::Error as PathError;

use super::fields::{Fields, Unknown};
use crate::yaml::Tree;

/// Kinds that are read; all others are somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ManifestKind {
    /// `v1 Service`.
    Service,
    /// `v1 Pod`.
    Pod,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// `v1 Node`.
    Node,
    /// `v1 Namespace`.
    Namespace,
}

impl ManifestKind {
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        match (api_version, kind) {
            ("v1", "Service") => Some(Self::Service),
            ("v1", "Pod") => Some(Self::Pod),
            ("discovery.k8s.io/v1", "EndpointSlice") => Some(Self::EndpointSlice),
            ("v1", "Node") => Some(Self::Node),
            ("v1", "Namespace") => Some(Self::Namespace),
            _ => None,
        }
    }

    pub(super) fn is_namespaced(self) -> bool {
        !matches!(self, Self::Node | Self::Namespace)
    }

    /// The fields that this kind does not know, or why it is none of this kind at all.
    pub(super) fn check(self, tree: &Tree) -> Result<Vec<Unknown>, PathError<serde_json::Error>> {
        match self {
            Self::Service => check::<Service>(tree),
            Self::Pod => check::<Pod>(tree),
            Self::EndpointSlice => check::<EndpointSlice>(tree),
            Self::Node => check::<Node>(tree),
            Self::Namespace => check::<Namespace>(tree),
        }
    }
}

fn check<T: DeserializeOwned>(tree: &Tree) -> Result<Vec<Unknown>, PathError<serde_json::Error>> {
    let unknown = RefCell::default();
    let _object: T = serde_path_to_error::deserialize(Fields::of(tree, &unknown))?;
    Ok(unknown.into_inner())
}

/// What is said of an object that is not read, if its author may have counted on it.
pub(super) fn unread(api_version: &str, kind: &str) -> Option<String> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let wanted = match (group, kind) {
        ("", "Service" | "Pod" | "Node" | "Namespace") => "v1",
        ("discovery.k8s.io", "EndpointSlice") => "discovery.k8s.io/v1",
        ("", "Endpoints") => {
            return Some("Endpoints are not read: write an EndpointSlice".to_owned());
        }
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("batch", "Job" | "CronJob")
        | ("", "ReplicationController") => {
            return Some(format!(
                "nobody makes the Pods of a {kind} here: add them, with status.podIPs"
            ));
        }
        _ => return None,
    };
    Some(format!(
        "{kind}s are read by apiVersion {wanted} alone, and this is {api_version}"
    ))
}
