// SPDX-License-Identifier: MIT OR Apache-2.0
//! What leads to a slot table, and what is special about it.

use super::{External, Table, forwarding};
use crate::maps::Frontend;
use ipnet::IpNet;

impl Table {
    /// What is special about a frontend that leads here, if it is no Cluster-IP.
    pub fn external(&self, frontend: Frontend) -> Option<&External> {
        let dialled = frontend.for_all();
        let place = self
            .external
            .binary_search_by(|it| it.frontend.cmp(&dialled));
        self.external.get(place.ok()?)
    }

    /// The frontends that are Cluster-IPs.
    pub fn cluster_ips(&self) -> impl Iterator<Item = Frontend> {
        let frontends = self.frontends.iter().copied();
        frontends.filter(|frontend| self.external(*frontend).is_none())
    }

    /// All that clients dial, whoever they are.
    pub fn asked(&self) -> impl Iterator<Item = Frontend> {
        let external = self.external.iter().filter(|it| it.is_dialled());
        self.cluster_ips().chain(external.map(|it| it.frontend))
    }

    /// Who is let in at frontends that do not let in everybody.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        let restricted = self.external.iter().filter_map(|it| it.ranges.as_deref());
        restricted.flatten().map(IpNet::trunc)
    }

    /// Bits of `Service::flags` of a frontend's entry.
    pub fn flags_at(&self, frontend: Frontend) -> u32 {
        let external = self.external(frontend);
        let own = external.map(|external| external.flags() | forwarding::flag(self.forwarding));
        self.flags | own.unwrap_or(0)
    }

    /// Whether a frontend's address is the node's own.
    pub fn is_of_node(&self, frontend: Frontend) -> bool {
        let external = self.external(frontend);
        external.is_some_and(|external| external.is_of_node)
    }
}
