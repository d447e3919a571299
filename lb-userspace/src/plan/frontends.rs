// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients dial to reach a Service: its addresses times its ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Fault, IpFamily, Problems, Rules, Set,
    exposure::{self, Exposure, External},
};
use crate::{
    maps::Frontend,
    model::{Kind, NodeFacts, ServiceObject, ServicePort},
};

/// Ports of one Service that are served. Whoever asks for ten thousand would fill the maps, and
/// the Services that come later would find no room.
const PORTS: usize = 1_000;

/// What leads to one table.
pub(super) struct Group<'a> {
    pub(super) port: &'a ServicePort,
    pub(super) family: IpFamily,
    pub(super) set: Set,
    pub(super) frontends: BTreeSet<Frontend>,
    pub(super) external: BTreeSet<External>,
}

/// Frontends by port, family and set, in the Service's order of ports.
pub(super) fn of<'a>(
    service: &'a ServiceObject,
    node: &'a NodeFacts,
    rules: &Rules,
    problems: &mut Problems,
) -> Vec<Group<'a>> {
    let addresses = exposure::addresses(service, node, rules, problems);
    let mut dialled = Dialled {
        service,
        node,
        taken: BTreeMap::new(),
        groups: BTreeMap::new(),
    };
    if service.ports.len() > PORTS {
        let count = service.ports.len();
        let fault = Fault::Ports { count, most: PORTS };
        problems.add(Kind::Service, &service.name, fault);
    }
    let mut numbers = BTreeSet::new();
    for (index, port) in service.ports.iter().take(PORTS).enumerate() {
        if let Some(fault) = refused(port) {
            problems.add(Kind::Service, &service.name, fault);
            continue;
        }
        if !numbers.insert((port.port, port.protocol)) {
            // The API refuses that: one of two names would mean nothing.
            for address in addresses.iter().filter_map(cluster_ip) {
                let fault = Fault::Twice {
                    frontend: frontend(address, port.port, port),
                };
                problems.add(Kind::Service, &service.name, fault);
            }
            continue;
        }
        for &(exposure, address) in &addresses {
            if let Err(fault) = dialled.add(index, port, exposure, address) {
                problems.add(Kind::Service, &service.name, fault);
            }
        }
    }
    dialled.groups.into_values().collect()
}

fn refused(port: &ServicePort) -> Option<Fault> {
    (port.port == 0).then(|| Fault::ServicePortZero {
        port: port.name.to_string(),
    })
}

fn cluster_ip(&(exposure, address): &(Exposure, IpAddr)) -> Option<IpAddr> {
    (exposure == Exposure::ClusterIp).then_some(address)
}

fn frontend(address: IpAddr, number: u16, port: &ServicePort) -> Frontend {
    Frontend::new(address, number, port.protocol.number())
}

struct Dialled<'a> {
    service: &'a ServiceObject,
    node: &'a NodeFacts,
    /// Which port has a frontend already.
    taken: BTreeMap<Frontend, usize>,
    groups: BTreeMap<(usize, IpFamily, Set), Group<'a>>,
}

impl<'a> Dialled<'a> {
    fn add(
        &mut self,
        index: usize,
        port: &'a ServicePort,
        exposure: Exposure,
        address: IpAddr,
    ) -> Result<(), Fault> {
        let number = match exposure {
            Exposure::NodePort => port.node_port,
            Exposure::ClusterIp | Exposure::LoadBalancer | Exposure::ExternalIp => port.port,
        };
        if number == 0 {
            return Ok(());
        }
        let frontend = frontend(address, number, port);
        match self.taken.insert(frontend, index) {
            None => {}
            // One port by two kinds of address that are the same: whoever dials it gets there.
            Some(first) if first == index => return Ok(()),
            Some(first) => {
                self.taken.insert(frontend, first);
                return Err(Fault::Twice { frontend });
            }
        }
        let family = IpFamily::of(address);
        for &(clients, set) in exposure::sets(self.service, exposure) {
            let group = self.groups.entry((index, family, set));
            let group = group.or_insert_with(|| Group {
                port,
                family,
                set,
                frontends: BTreeSet::new(),
                external: BTreeSet::new(),
            });
            if exposure == Exposure::ClusterIp {
                group.frontends.insert(frontend);
            } else {
                group.external.insert(External {
                    frontend,
                    exposure,
                    is_of_node: self.node.addresses.contains(&address),
                    clients,
                    ranges: exposure::ranges(self.service, exposure, family),
                });
            }
        }
        Ok(())
    }
}
