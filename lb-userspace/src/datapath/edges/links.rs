// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's links as netlink tells them. Knows nothing of edges.

use super::{
    super::early::Early,
    EdgesError, addresses,
    choose::{LinkFact, Nic, XdpFact},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
    route::{RouteAttribute, RouteHeader, RouteMessage},
    tc::{TcAttribute, TcHandle, TcMessage},
};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder, packet_core::NetlinkPayload};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// What was heard; of two, the greater one is worth more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// Nothing.
    None,
    /// Links, their addresses or default routes have changed.
    OfLinks,
    /// So have filters or queueing disciplines.
    OfHooks,
}

/// A connection to the kernel's routing side that hears of changes.
pub(super) struct Links {
    netlink: Handle,
    /// Interfaces that have had a default route: one that is only away for a moment, as when a
    /// lease is renewed, must not end the flows through its interface.
    default_routes: BTreeSet<u32>,
    /// One item for each message that may matter.
    news: BoxStream<'static, News>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

impl Links {
    /// Opens the connection in this thread's network namespace. Needs a running tokio.
    pub(super) fn open() -> Result<Self, EdgesError> {
        let (connection, netlink, news) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Tc,
        ])
        .map_err(|cause| failed("opening a socket", cause))?;
        tokio::spawn(connection);
        let news = news.filter_map(async |(message, _)| matters(&message.payload));
        Ok(Self {
            netlink,
            default_routes: BTreeSet::new(),
            news: news.boxed(),
        })
    }

    /// The connection, for other requests.
    pub(super) fn netlink(&self) -> &Handle {
        &self.netlink
    }

    /// All links there are.
    pub(super) async fn list(&mut self) -> Result<Vec<LinkFact>, EdgesError> {
        let addresses = addresses::list(&self.netlink).await?;
        let default_routes = self.default_routes().await?;
        self.default_routes.extend(default_routes);
        let messages: Vec<_> = self
            .netlink
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|cause| failed("listing links", cause))?;
        let under_vlans: BTreeSet<u32> = messages.iter().filter_map(vlan_of).collect();
        let fact = |message: &LinkMessage| {
            let name = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(name.clone()),
                    _ => None,
                });
            Some(LinkFact {
                ifindex: message.header.index,
                name: name?,
                ethernet: matches!(
                    message.header.link_layer_type,
                    LinkLayerType::Ether | LinkLayerType::Loopback
                ),
                default_route: self.default_routes.contains(&message.header.index),
                leads_into_pod: leads_into_pod(&message.attributes),
                addresses: addresses
                    .get(&message.header.index)
                    .copied()
                    .unwrap_or_default(),
                nic: Nic {
                    station: station(&message.attributes),
                    is_veth: is_kind(&message.attributes, &InfoKind::Veth),
                    has_vlans: under_vlans.contains(&message.header.index),
                    xdp: xdp(&message.attributes),
                },
            })
        };
        let facts: Vec<_> = messages.iter().filter_map(fact).collect();
        self.default_routes
            .retain(|known| facts.iter().any(|fact| fact.ifindex == *known));
        Ok(facts)
    }

    /// Interfaces that default routes of the main table go through.
    async fn default_routes(&self) -> Result<BTreeSet<u32>, EdgesError> {
        let requests = [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ];
        let mut interfaces = BTreeSet::new();
        for request in requests {
            let mut routes = self.netlink.route().get(request).execute().boxed();
            while let Some(route) = routes
                .try_next()
                .await
                .map_err(|cause| failed("listing routes", cause))?
            {
                interfaces.extend(default_route_interfaces(&route));
            }
        }
        Ok(interfaces)
    }

    /// How packets wait that leave, by interface, where they do: kinds of queueing disciplines.
    pub(super) async fn queues(&self) -> Result<BTreeMap<u32, String>, EdgesError> {
        let messages: Vec<_> = self
            .netlink
            .qdisc()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|cause| failed("listing queueing disciplines", cause))?;
        Ok(messages.iter().filter_map(queue).collect())
    }

    /// Waits for news, at most for a while.
    pub(super) async fn changed(&mut self, at_most: Duration) -> Result<News, EdgesError> {
        let Ok(news) = tokio::time::timeout(at_most, self.news.next()).await else {
            return Ok(News::None);
        };
        let Some(mut news) = news else {
            let cause = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            return Err(failed("the connection ended", cause));
        };
        // Whatever else has come is covered by the same list.
        while let Some(Some(more)) = futures_util::FutureExt::now_or_never(self.news.next()) {
            news = news.max(more);
        }
        Ok(news)
    }
}

/// Whether a link is one end of a pair (`ndo_get_peer_dev`: veth, netkit) whose other end is in
/// another network namespace: `bpf_redirect_peer` reaches no other.
fn leads_into_pod(attributes: &[LinkAttribute]) -> bool {
    let is_pair =
        |info: &LinkInfo| matches!(info, LinkInfo::Kind(InfoKind::Veth | InfoKind::Netkit));
    let mut has_pair = false;
    let mut is_elsewhere = false;
    for attribute in attributes {
        match attribute {
            LinkAttribute::LinkInfo(infos) => has_pair |= infos.iter().any(is_pair),
            LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
            _ => {}
        }
    }
    has_pair && is_elsewhere
}

/// A link's XDP program.
fn xdp(attributes: &[LinkAttribute]) -> Option<XdpFact> {
    let of_xdp = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    })?;
    let how = of_xdp.iter().find_map(|xdp| match xdp {
        LinkXdp::Attached(XdpAttached::Driver) => Some(Early::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Early::Generic),
        _ => None,
    });
    let id = of_xdp.iter().find_map(|xdp| match xdp {
        LinkXdp::ProgId(id)
        // Several at once have no number in common.
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    })?;
    Some(XdpFact { id, how })
}

/// The station that others send to.
fn station(attributes: &[LinkAttribute]) -> [u8; 6] {
    let address = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(address) => address.as_slice().try_into().ok(),
        _ => None,
    });
    address.unwrap_or_default()
}

fn is_kind(attributes: &[LinkAttribute], kind: &InfoKind) -> bool {
    attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos
            .iter()
            .any(|info| matches!(info, LinkInfo::Kind(found) if found == kind)),
        _ => false,
    })
}

/// The link that a VLAN's is on top of.
fn vlan_of(message: &LinkMessage) -> Option<u32> {
    let below = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Link(below) => Some(*below),
            _ => None,
        })?;
    is_kind(&message.attributes, &InfoKind::Vlan).then_some(below)
}

/// The queueing discipline of an interface's root, if it is more than none.
fn queue(message: &TcMessage) -> Option<(u32, String)> {
    let kind = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(kind),
            _ => None,
        })?;
    let ifindex = u32::try_from(message.header.index).ok()?;
    let is_root = message.header.parent == TcHandle::ROOT;
    (is_root && kind != "noqueue").then(|| (ifindex, kind.clone()))
}

/// What a message may change: which interfaces are edges, or what is on their hooks.
fn matters(payload: &NetlinkPayload<RouteNetlinkMessage>) -> Option<News> {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => (route.header.destination_prefix_length == 0).then_some(News::OfLinks),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(_)
            | RouteNetlinkMessage::DelLink(_)
            | RouteNetlinkMessage::NewAddress(_)
            | RouteNetlinkMessage::DelAddress(_),
        ) => Some(News::OfLinks),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewTrafficFilter(_)
            | RouteNetlinkMessage::DelTrafficFilter(_)
            | RouteNetlinkMessage::NewQueueDiscipline(_)
            | RouteNetlinkMessage::DelQueueDiscipline(_),
        )
        // An overrun says that messages were lost.
        | NetlinkPayload::Overrun(_) => Some(News::OfHooks),
        _ => None,
    }
}

fn default_route_interfaces(route: &RouteMessage) -> Vec<u32> {
    if route.header.destination_prefix_length != 0
        || route.header.table != RouteHeader::RT_TABLE_MAIN
    {
        return Vec::new();
    }
    let mut interfaces = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(ifindex) => interfaces.push(*ifindex),
            RouteAttribute::MultiPath(hops) => {
                interfaces.extend(hops.iter().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
    interfaces
}

pub(super) fn failed(
    action: &'static str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> EdgesError {
    EdgesError {
        action,
        cause: cause.into(),
    }
}
