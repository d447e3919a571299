// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients dial to reach a Service: its addresses times its ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Fault, IpFamily, Problems, Rules, Set,
    exposure::{self, Clients, Exposure, External},
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

impl Group<'_> {
    /// Whether nobody dials what leads there.
    pub(super) fn is_for_tunnels_alone(&self) -> bool {
        self.frontends.is_empty() && !self.external.iter().any(External::is_dialled)
    }
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
        for address in exposure::tunnelled_node_ports(service) {
            dialled.add_from_tunnels(index, port, address);
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
            if (exposure, clients) == (Exposure::NodePort, Clients::Tunnelled) {
                continue;
            }
            let ranges = exposure::ranges(self.service, exposure, family);
            let external = External {
                frontend,
                exposure,
                is_of_node: exposure == Exposure::NodePort
                    || self.node.addresses.contains(&address),
                clients,
                // Where they were let in, they were looked at.
                ranges: ranges.filter(|_| clients != Clients::Tunnelled),
            };
            let group = self.group(index, port, family, set);
            if exposure == Exposure::ClusterIp {
                group.frontends.insert(frontend);
            } else {
                group.external.insert(external);
            }
        }
        Ok(())
    }

    /// A node port's entry for tunnels: one of each family, whichever addresses this node has.
    fn add_from_tunnels(&mut self, index: usize, port: &'a ServicePort, address: IpAddr) {
        let frontend = frontend(address, port.node_port, port);
        let first = *self.taken.entry(frontend).or_insert(index);
        if port.node_port == 0 || first != index {
            return;
        }
        for &(clients, set) in exposure::sets(self.service, Exposure::NodePort) {
            if clients == Clients::Tunnelled {
                let group = self.group(index, port, IpFamily::of(address), set);
                group.external.insert(External {
                    frontend,
                    exposure: Exposure::NodePort,
                    is_of_node: false,
                    clients,
                    ranges: None,
                });
            }
        }
    }

    fn group(
        &mut self,
        index: usize,
        port: &'a ServicePort,
        family: IpFamily,
        set: Set,
    ) -> &mut Group<'a> {
        let group = self.groups.entry((index, family, set));
        group.or_insert_with(|| Group {
            port,
            family,
            set,
            frontends: BTreeSet::new(),
            external: BTreeSet::new(),
        })
    }
}
