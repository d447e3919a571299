// SPDX-License-Identifier: MIT OR Apache-2.0
//! The edges of nodes whose network plug-in nobody has named.

use crate::datapath::edges::Glob;

/// Interfaces that the usual network plug-ins give to pods: bridge, ptp and flannel (`veth*`),
/// Calico (`cali*`), Cilium (`lxc*`), AWS (`eni*`), Azure (`azv*`), GKE (`gke*`).
pub(super) const EDGES: [&str; 6] = ["veth*", "cali*", "lxc*", "eni*", "azv*", "gke*"];

/// All of them.
pub(super) fn usual() -> Vec<Glob> {
    EDGES.iter().filter_map(|text| text.parse().ok()).collect()
}
