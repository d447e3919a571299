// SPDX-License-Identifier: MIT OR Apache-2.0
//! What there is at this moment, for commands that follow nothing; each mode takes its own.

use super::standalone::{is_ready, pod_addresses};
use crate::model::{Change, Name};
use k8s_openapi::api::core::v1::Pod;
use std::{collections::BTreeMap, net::IpAddr};

/// A Pod, as far as somebody cares who wants to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Namespace and name.
    pub name: Name,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is Ready, and not about to end.
    pub ready: bool,
}

impl PodFacts {
    pub(super) fn of(name: Name, pod: &Pod) -> Self {
        Self {
            name,
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            addresses: pod_addresses(pod).collect(),
            ready: is_ready(pod) && pod.metadata.deletion_timestamp.is_none(),
        }
    }
}

/// What there is now.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Pods, in the order of their names.
    pub pods: Vec<PodFacts>,
    /// Everything else. Cluster-IPs may differ from those that are given.
    pub changes: Vec<Change>,
}
