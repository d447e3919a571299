// SPDX-License-Identifier: MIT OR Apache-2.0
//! How clients from outside get to a table's backends on other nodes.

use lb_common::tunnel::Format;
#[cfg(doc)]
use lb_common::wire::Service;

use super::{Clients, Fault, Problems, Rules, endpoints::Endpoints, frontends::Group};
use crate::model::{Forwarding, Kind, ServiceObject};

/// What the Service wants, or else the node; but nobody takes a packet out of a tunnel where an
/// endpoint is that is on no node.
pub(super) fn choose(
    service: &ServiceObject,
    group: &Group<'_>,
    endpoints: &Endpoints<'_>,
    rules: &Rules,
    problems: &mut Problems,
) -> Forwarding {
    let wanted = service.forwarding.unwrap_or(rules.forwarding);
    let mut external = group.external.iter();
    if wanted == Forwarding::Snat || !external.any(|it| it.clients == Clients::All) {
        return Forwarding::Snat;
    }
    let mut places = endpoints.values().map(|endpoint| &endpoint.place);
    if places.all(|place| place.node.is_some()) {
        return wanted;
    }
    let fault = Fault::NoNodeName { wanted };
    problems.add(Kind::Service, &service.name, fault);
    Forwarding::Snat
}

/// The bit of [`Service::flags`] that says so.
pub(super) fn flag(forwarding: Forwarding) -> u32 {
    forwarding.format().map_or(0, Format::flag)
}

/// What an entry with these [`Service::flags`] says.
pub fn said(flags: u32) -> Forwarding {
    Forwarding::by(Format::of_flags(flags))
}
