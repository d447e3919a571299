// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoints of the DNS Service: the agent's own server, where no Pod is asked for.

use super::{Computed, named, selects};
use crate::{
    model::{Endpoint, Name, Place, Protocol, ServiceObject, SlicePort},
    watch::standalone::families::Family,
};
use k8s_openapi::api::core::v1::Service;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// The port of DNS: the DNS Service's other ports are for other things.
const PORT: u16 = 53;

/// A server of the agent's, and the Service by which clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnServer {
    /// The Service.
    pub service: Name,
    /// Where the server listens.
    pub addresses: Vec<SocketAddr>,
}

impl OwnServer {
    /// The Service's slices, if it is this one, and leaves to us what it leads to.
    pub(in crate::watch::standalone) fn slices(
        &self,
        stated: &Service,
        service: &ServiceObject,
        families: &[Family],
    ) -> Option<Computed> {
        let spec = stated.spec.as_ref()?;
        if service.name != self.service || selects(spec) {
            return None;
        }
        let ports = service.ports.iter().filter(|port| port.port == PORT);
        let mut groups = BTreeMap::new();
        for address in &self.addresses {
            if !families.contains(&Family::of(address.ip())) {
                continue;
            }
            let ports = ports.clone().map(|port| SlicePort {
                name: port.name.clone(),
                protocol: port.protocol,
                port: address.port(),
            });
            let ports = ports.filter(|port| port.protocol != Protocol::Sctp);
            let group: &mut Vec<_> = groups
                .entry((address.is_ipv6(), ports.collect()))
                .or_default();
            group.push(Endpoint {
                address: address.ip(),
                ready: true,
                serving: true,
                terminating: false,
                hostname: None,
                place: Arc::new(Place::default()),
            });
        }
        Some(Computed {
            slices: named(&service.name, groups),
            selected: self.addresses.len(),
        })
    }
}
