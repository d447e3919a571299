// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients dial to reach a Service: its addresses times its ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Fault, IpFamily, Problems, address};
use crate::{
    maps::Frontend,
    model::{Kind, NodeFacts, Protocol, ServiceObject, ServicePort},
};

/// Frontends by port and family, in the Service's order of ports.
pub(super) fn of<'a>(
    service: &'a ServiceObject,
    node: &NodeFacts,
    problems: &mut Problems,
) -> Vec<(&'a ServicePort, IpFamily, BTreeSet<Frontend>)> {
    let addresses = addresses(service, node, problems);
    let mut taken = BTreeSet::new();
    let mut groups = Vec::new();
    for port in &service.ports {
        if let Some(fault) = refused(port) {
            problems.add(Kind::Service, &service.name, fault);
            continue;
        }
        for (family, addresses) in &addresses {
            let mut frontends = BTreeSet::new();
            for &address in addresses {
                let frontend = Frontend {
                    address,
                    port: port.port,
                    protocol: port.protocol.number(),
                };
                if taken.insert(frontend) {
                    frontends.insert(frontend);
                } else {
                    let fault = Fault::Twice { frontend };
                    problems.add(Kind::Service, &service.name, fault);
                }
            }
            if !frontends.is_empty() {
                groups.push((port, *family, frontends));
            }
        }
    }
    groups
}

fn refused(port: &ServicePort) -> Option<Fault> {
    if port.protocol == Protocol::Sctp {
        return Some(Fault::Protocol {
            port: port.port,
            protocol: port.protocol,
        });
    }
    (port.port == 0).then(|| Fault::ServicePortZero {
        port: port.name.to_string(),
    })
}

/// The Service's addresses that are fit for use.
fn addresses(
    service: &ServiceObject,
    node: &NodeFacts,
    problems: &mut Problems,
) -> BTreeMap<IpFamily, BTreeSet<IpAddr>> {
    let mut fit: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for &address in &service.cluster_ips {
        let own = || {
            let own = node.addresses.contains(&address);
            // It would take the node's own services away from it.
            own.then_some("an address of this node")
        };
        match address::refused(address).or_else(own) {
            None => {
                fit.entry(IpFamily::of(address))
                    .or_default()
                    .insert(address);
            }
            Some(what) => {
                let fault = Fault::ServiceAddress { address, what };
                problems.add(Kind::Service, &service.name, fault);
            }
        }
    }
    fit
}
