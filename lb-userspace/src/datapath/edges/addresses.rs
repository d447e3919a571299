// SPDX-License-Identifier: MIT OR Apache-2.0
//! By which addresses others know this node at its interfaces.

use super::{EdgesError, links::failed};
use futures_util::TryStreamExt as _;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::Handle;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One address of each family, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

/// The first of each family that is valid beyond the link, by interface.
pub(super) async fn list(netlink: &Handle) -> Result<BTreeMap<u32, Addresses>, EdgesError> {
    let messages: Vec<_> = netlink
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|cause| failed("listing addresses", cause))?;
    let mut all = BTreeMap::<u32, Addresses>::new();
    for message in messages.iter().filter(|message| is_fit(message)) {
        let known = all.entry(message.header.index).or_default();
        match own(&message.attributes) {
            Some(IpAddr::V4(address)) => {
                known.v4.get_or_insert(address);
            }
            Some(IpAddr::V6(address)) => {
                known.v6.get_or_insert(address);
            }
            None => {}
        }
    }
    Ok(all)
}

/// Whether the node would choose it as a source.
fn is_fit(message: &AddressMessage) -> bool {
    let unfit = AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated;
    let flags = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
    message.header.scope == AddressScope::Universe
        && !flags.is_some_and(|flags| flags.intersects(unfit))
}

/// The node's end: of a link between two, `IFA_ADDRESS` is the other one (`linux/if_addr.h`).
fn own(attributes: &[AddressAttribute]) -> Option<IpAddr> {
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}
