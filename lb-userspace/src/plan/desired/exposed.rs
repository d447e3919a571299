// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frontends that are no Cluster-IPs, for people.

use serde::{Deserialize, Serialize};

use crate::{
    model::Forwarding,
    plan::{External, Set, Table, TableKey},
};
use lb_common::wire::Service;

/// One frontend that is no Cluster-IP, for one kind of clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exposed {
    /// `namespace/name:port` of the Service.
    pub service: String,
    /// `address:port/protocol`.
    pub frontend: String,
    /// `LoadBalancer`, `ExternalIP` or `NodePort`.
    pub exposure: String,
    /// `all`, or those `inside` the cluster or `outside` of it.
    pub clients: String,
    /// `Cluster` or `Local`: which endpoints they get.
    pub endpoints: String,
    /// How clients from outside get to those on other nodes: `dsr-ipip` or `dsr-geneve`; absent =
    /// they are shown to them as this node, where that is needed.
    #[serde(default)]
    pub forwarding: Option<String>,
    /// How many share the new flows.
    pub backends: usize,
    /// What happens to a packet without a backend: `refused`, or `dropped` where there are some
    /// on other nodes.
    pub otherwise: String,
    /// Who may dial it; absent = everybody.
    pub ranges: Option<Vec<String>>,
}

impl Exposed {
    pub(super) fn new(key: &TableKey, table: &Table, external: &External) -> Self {
        let ranges = external.ranges.as_ref();
        let forwarding = table.forwarding;
        Self {
            service: table.label.to_string(),
            frontend: external.frontend.to_string(),
            exposure: external.exposure.name().to_owned(),
            clients: external.clients.name().to_owned(),
            endpoints: match key.set {
                Set::Cluster => "Cluster",
                Set::Local => "Local",
            }
            .to_owned(),
            forwarding: (forwarding != Forwarding::Snat).then(|| forwarding.to_string()),
            backends: table.backends.chosen().count(),
            otherwise: match table.flags & Service::ELSEWHERE {
                0 => "refused",
                _ => "dropped",
            }
            .to_owned(),
            ranges: ranges.map(|ranges| ranges.iter().map(ToString::to_string).collect()),
        }
    }
}
