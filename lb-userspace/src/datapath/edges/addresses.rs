// SPDX-License-Identifier: MIT OR Apache-2.0
//! By which addresses others know this node at its interfaces.

use super::{EdgesError, links::failed};
use crate::addresses;
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

/// The first of each family that the node would choose as a source, by interface.
pub(super) async fn list(netlink: &Handle) -> Result<BTreeMap<u32, Addresses>, EdgesError> {
    let listed = addresses::list(netlink).await;
    let listed = listed.map_err(|cause| failed("listing addresses", cause))?;
    let mut all = BTreeMap::<u32, Addresses>::new();
    for of_link in listed.iter().filter(|of_link| of_link.is_source) {
        let known = all.entry(of_link.ifindex).or_default();
        match of_link.address {
            IpAddr::V4(address) => {
                known.v4.get_or_insert(address);
            }
            IpAddr::V6(address) => {
                known.v6.get_or_insert(address);
            }
        }
    }
    Ok(all)
}
