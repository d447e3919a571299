// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the node's interfaces are edges: a function of the links and the patterns, nothing
//! else.

use super::{super::early::Early, addresses::Addresses, glob::Glob};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr};

/// What an interface is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The host's side of a pod's link.
    Edge,
    /// Towards other machines.
    Uplink,
}

/// Patterns for both roles; without one for uplinks, they are what has a default route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globs {
    /// Host sides of pods' links.
    pub edges: Vec<Glob>,
    /// Uplinks; empty = the interfaces of default routes.
    pub uplinks: Vec<Glob>,
}

/// What netlink tells of an interface, as far as we care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkFact {
    pub(super) ifindex: u32,
    pub(super) name: String,
    /// Whether its frames begin with an Ethernet header.
    pub(super) ethernet: bool,
    /// Whether a default route goes through it.
    pub(super) default_route: bool,
    /// Whether it is one end of a link whose other end is in another network namespace, where a
    /// packet can be put in at once.
    pub(super) leads_into_pod: bool,
    /// The address of each family that others know this node by there.
    pub(super) addresses: Addresses,
    /// The rest.
    pub(super) nic: Nic,
}

/// What decides whether XDP may run there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nic {
    /// The station that others send to.
    pub(super) station: [u8; 6],
    /// Whether it is one end of a veth link.
    pub(super) is_veth: bool,
    /// Whether interfaces of VLANs are on top of it.
    pub(super) has_vlans: bool,
    /// Its XDP program.
    pub(super) xdp: Option<XdpFact>,
}

/// An XDP program at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpFact {
    /// Its number.
    pub(super) id: u32,
    /// How it runs; none: in hardware, or there are several.
    pub(super) how: Option<Early>,
}

/// An interface that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) role: Role,
    /// As in [`LinkFact`]; never of an uplink.
    pub(super) leads_into_pod: bool,
    /// As in [`LinkFact`].
    pub(super) addresses: Addresses,
    /// As in [`LinkFact`].
    pub(super) nic: Nic,
    /// Why it cannot be served although it matches.
    pub(super) refusal: Option<Refusal>,
}

impl Choice {
    /// As what others know the node at an uplink.
    pub(super) fn addresses_of_uplink(&self) -> Vec<IpAddr> {
        let Addresses { v4, v6 } = self.addresses;
        let (v4, v6) = (v4.map(IpAddr::from), v6.map(IpAddr::from));
        let all = v4.into_iter().chain(v6);
        all.filter(|_| self.role == Role::Uplink).collect()
    }
}

/// Why an interface that matches is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotEthernet,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEthernet => f.write_str(
                "its frames have no Ethernet header, which Weiche needs: packets of this \
                 interface are not translated; leave it out by a narrower --edge or --uplink",
            ),
        }
    }
}

/// The interfaces that match, by index.
pub(super) fn choose(links: &[LinkFact], globs: &Globs) -> BTreeMap<u32, Choice> {
    let choice = |link: &LinkFact| {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&link.name));
        let uplink = any(&globs.uplinks) || (globs.uplinks.is_empty() && link.default_route);
        let role = match (any(&globs.edges), uplink) {
            (true, _) => Role::Edge,
            (false, true) => Role::Uplink,
            (false, false) => return None,
        };
        Some((
            link.ifindex,
            Choice {
                name: link.name.clone(),
                role,
                nic: link.nic,
                addresses: link.addresses,
                leads_into_pod: link.leads_into_pod && role == Role::Edge,
                refusal: (!link.ethernet).then_some(Refusal::NotEthernet),
            },
        ))
    };
    links.iter().filter_map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns for edges and for uplinks; interfaces chosen, and whether they can be served.
    type Case = (
        &'static [&'static str],
        &'static [&'static str],
        &'static [(u32, Role, bool)],
    );

    #[test]
    fn interfaces_are_chosen_by_name_or_default_route() {
        let link = |ifindex, name: &str, ethernet, default_route| LinkFact {
            ifindex,
            name: name.to_owned(),
            ethernet,
            default_route,
            leads_into_pod: false,
            addresses: Addresses::default(),
            nic: Nic::default(),
        };
        let links = [
            link(1, "lo", true, false),
            link(2, "eth0", true, true),
            link(3, "veth1", true, false),
            link(4, "wg0", false, false),
            link(5, "tun0", false, true),
        ];
        let cases: [Case; 5] = [
            (
                &["veth*"],
                &[],
                &[
                    (2, Role::Uplink, true),
                    (3, Role::Edge, true),
                    (5, Role::Uplink, false),
                ],
            ),
            (
                &["veth*"],
                &["eth*"],
                &[(2, Role::Uplink, true), (3, Role::Edge, true)],
            ),
            (&["wg*"], &["nothing"], &[(4, Role::Edge, false)]),
            (&["eth0"], &["eth0"], &[(2, Role::Edge, true)]),
            (&[], &["nothing"], &[]),
        ];
        for (edges, uplinks, chosen) in cases {
            let globs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
            let globs = Globs {
                edges: globs(edges),
                uplinks: globs(uplinks),
            };
            let choices = choose(&links, &globs);
            let found: Vec<_> = choices
                .iter()
                .map(|(ifindex, choice)| (*ifindex, choice.role, choice.refusal.is_none()))
                .collect();
            assert_eq!(found, chosen, "{globs:?}");
        }
    }
}
