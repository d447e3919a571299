// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small cluster for the tests of names.

use super::zone::Zone;
use crate::{
    model::{Name, World},
    watch::{
        standalone::{self, Manifest},
        status::Problem,
    },
};
use hickory_proto::rr::Name as DomainName;

/// Each kind of Service that has names of its own kind.
pub(super) const MANIFESTS: &str = include_str!("testing.yaml");

/// The world that manifests mean.
pub(super) fn world(text: &str) -> World {
    let cidrs = ["10.96.0.0/16", "fd00:10:96::/112"].map(|text| text.parse().expect("a range"));
    let manifest = Manifest {
        folder: 0,
        file: "names.yaml",
        text,
    };
    let round = standalone::list(&[manifest], &cidrs);
    let broken = |problem: &Problem| !problem.reason.contains("selector matches no Pod");
    assert!(!round.problems.iter().any(broken), "{:?}", round.problems);
    let mut world = World::new("node");
    for change in round.changes {
        world.apply(change);
    }
    world
}

/// The zone `cluster.local` of these manifests.
pub(super) fn zone(text: &str) -> Zone {
    let world = world(text);
    let origin = DomainName::from_ascii("cluster.local.").expect("a name");
    let mut zone = Zone::new(&origin, 30);
    let all: Vec<Name> = world
        .services()
        .map(|service| service.name.clone())
        .collect();
    zone.update(&world, &all, 1);
    zone
}
