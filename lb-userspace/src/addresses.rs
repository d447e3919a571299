// SPDX-License-Identifier: MIT OR Apache-2.0
//! The addresses that the node's links have, as netlink lists them.

use futures_util::TryStreamExt as _;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::Handle;
use std::net::IpAddr;

/// An address that is valid beyond its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfLink {
    /// The link's index.
    pub(crate) ifindex: u32,
    /// The node's own; of a link between two, not the other end's.
    pub(crate) address: IpAddr,
    /// Whether the node would choose it as a source. It does not choose what was given to it for
    /// others to reach (`preferred_lft 0`).
    pub(crate) is_source: bool,
}

/// All of them, in the kernel's order: of a link, the first one of a family is its primary one.
pub(crate) async fn list(netlink: &Handle) -> Result<Vec<OfLink>, rtnetlink::Error> {
    let messages = netlink.address().get().execute();
    let messages: Vec<_> = messages.try_collect().await?;
    Ok(messages.iter().filter_map(read).collect())
}

fn read(message: &AddressMessage) -> Option<OfLink> {
    let flags = message.attributes.iter().find_map(|it| match it {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let has = |flag| flags.is_some_and(|flags| flags.intersects(flag));
    // Nobody knows yet whether another machine has it, or another one has.
    let is_doubtful = has(AddressFlags::Tentative | AddressFlags::Dadfailed);
    if message.header.scope != AddressScope::Universe || is_doubtful {
        return None;
    }
    Some(OfLink {
        ifindex: message.header.index,
        address: own(&message.attributes)?,
        is_source: !has(AddressFlags::Deprecated),
    })
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
