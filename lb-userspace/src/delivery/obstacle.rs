// SPDX-License-Identifier: MIT OR Apache-2.0
//! What makes the host's stack worth going through.

use super::{
    netfilter::{self, Link},
    netlink::{Question, ask},
    routes,
};
use crate::datapath::edges::{EdgeState, Role};
use rtnetlink::sys::protocols::NETLINK_XFRM;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io};

/// Why packets do not pass the stack by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// Of which kind.
    pub why: Why,
    /// Which it is.
    pub what: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Netfilter would see them.
    Netfilter,
    /// A program or a queueing discipline of others on an interface would.
    ForeignProgram,
    /// This host sends nothing on.
    Forwarding,
    /// An IP security policy may be about them.
    Ipsec,
    /// A route has an MTU of its own, which only the stack goes by.
    RouteMtu,
    /// A rule sends packets of some ports another way.
    PortRule,
    /// It cannot be found out.
    Unknown,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Netfilter,
        Self::ForeignProgram,
        Self::Forwarding,
        Self::Ipsec,
        Self::RouteMtu,
        Self::PortRule,
        Self::Unknown,
    ];

    /// Its name, as in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netfilter => "netfilter",
            Self::ForeignProgram => "foreign_program",
            Self::Forwarding => "forwarding",
            Self::Ipsec => "ipsec",
            Self::RouteMtu => "route_mtu",
            Self::PortRule => "port_rule",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.why.name(), self.what)
    }
}

/// Obstacles of each kind that are named.
const NAMED: usize = 5;

/// Switches of all forwarding. What an interface's own says, each packet's route does.
const FORWARDING: [&str; 2] = [
    "/proc/sys/net/ipv4/conf/all/forwarding",
    "/proc/sys/net/ipv6/conf/all/forwarding",
];

/// Everything that is in the way just now. Routes are read if they are not known.
pub(super) fn find(edges: &[EdgeState], known: &mut Option<Vec<String>>) -> Vec<Obstacle> {
    let mut all = Vec::new();
    let mut add = |why, found: io::Result<Vec<String>>| match found {
        Ok(found) => {
            let named = found.into_iter().take(NAMED);
            all.extend(named.map(|what| Obstacle { why, what }));
        }
        Err(error) => {
            let what = format!("{}: {error}", why.name());
            all.push(Obstacle {
                why: Why::Unknown,
                what,
            });
        }
    };
    let links: Vec<_> = edges.iter().map(link).collect();
    let netfilter = netfilter::seen_by(&links);
    add(
        Why::Netfilter,
        netfilter.map(|found| found.into_iter().collect()),
    );
    add(Why::ForeignProgram, Ok(foreign(edges)));
    add(Why::Forwarding, Ok(switched_off()));
    add(Why::Ipsec, policies());
    let mtus = with_mtu(known);
    add(
        Why::RouteMtu,
        mtus.map(|mtus| mtus.iter().take(NAMED).cloned().collect()),
    );
    add(Why::PortRule, routes::by_port());
    all
}

/// Routes with an MTU of their own.
fn with_mtu(known: &mut Option<Vec<String>>) -> io::Result<&[String]> {
    Ok(match known {
        Some(mtus) => mtus,
        None => known.insert(routes::with_mtu()?),
    })
}

fn link(edge: &EdgeState) -> Link<'_> {
    Link {
        name: &edge.name,
        is_pods: edge.role == Role::Edge,
    }
}

/// What is on the way of a packet that is sent on: at egress, only of a link into a pod, since
/// neighbours are reached by way of that hook.
fn foreign(edges: &[EdgeState]) -> Vec<String> {
    let of_edge = |edge: &EdgeState| {
        let is_pods = edge.role == Role::Edge;
        let on_the_way = edge.foreign.iter();
        let on_the_way = on_the_way.filter(move |who| is_pods || !who.starts_with("egress"));
        let name = edge.name.clone();
        let lines = on_the_way.map(move |who| format!("{name} {who}"));
        lines.collect::<Vec<_>>()
    };
    edges.iter().flat_map(of_edge).collect()
}

fn switched_off() -> Vec<String> {
    let is_off = |path: &&str| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    let off = FORWARDING.into_iter().filter(is_off);
    off.map(|path| format!("{path} is 0")).collect()
}

fn policies() -> io::Result<Vec<String>> {
    /// `XFRM_MSG_GETPOLICY`.
    const GET_POLICY: u16 = 0x15;
    let policies = ask(Question {
        protocol: NETLINK_XFRM,
        kind: GET_POLICY,
        is_dump: true,
        // `struct xfrm_userpolicy_id`: of all.
        body: &[0; 64],
    });
    match policies {
        Ok(policies) if policies.is_empty() => Ok(Vec::new()),
        Ok(policies) => Ok(vec![format!("{} policies", policies.len())]),
        // A kernel without IPsec, or whose module nobody has needed.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTONOSUPPORT) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
