// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the agent would have written: Services and backends that the conversations share, and
//! their changes.

use crate::{
    play::{Cast, cast},
    tear::{Tear, VALUES, tear},
    twin::{LOOPBACK, Twin},
};
use anyhow::Result;
use lb_common::wire::{
    BackendState::{Active, Draining, Free, Quiet},
    Manner, Range, Refusals, Service, Takeover,
    protocol::{SCTP, TCP, UDP},
};
use std::net::{IpAddr, SocketAddr};
use tests::{chance::Chance, tables::Memory};

/// The tables as each sequence finds them.
pub(crate) struct World {
    start: Memory,
    changed: bool,
}

impl World {
    /// Two Services of each family and protocol that share a backend, and a third without any.
    pub(crate) fn new(twin: &mut Twin) -> Result<Self> {
        twin.reset()?;
        let memory = &mut twin.memory;
        for cast in [cast(4), cast(6)] {
            for protocol in [TCP, UDP, SCTP] {
                let ids = ids(&cast, protocol);
                for (id, pod) in ids.into_iter().zip(cast.pods) {
                    memory.add_backend(id, pod, protocol);
                }
                let [first, ..] = ids;
                for (service, ids) in services(&cast).into_iter().zip([&ids[..], &[first], &[]]) {
                    memory.add_service(service, protocol, ids);
                }
                memory.set_affinity(cast.service, protocol, 60);
            }
            // The first Service has none, as if the agent had not come to write it yet.
            memory.add_address(cast.other.ip());
        }
        memory.ranges = ranges();
        Ok(Self {
            start: memory.clone(),
            changed: true,
        })
    }

    /// Makes the tables what they were at the start, but for the source ports to give out (many,
    /// too few or none), and for what clients are told.
    pub(crate) fn restore(&mut self, twin: &mut Twin, chance: &mut Chance) -> Result<()> {
        twin.memory.clone_from(&self.start);
        twin.memory.node.port_count = match chance.below(8) {
            0 => 0,
            1 => 1,
            _ => twin.memory.node.port_count,
        };
        if chance.one_in(4) {
            twin.memory.node.takeover = chance.pick(&TAKEOVERS).number();
        }
        twin.memory.node.refusals = refusals(chance);
        if std::mem::take(&mut self.changed) {
            return twin.copy();
        }
        twin.kernel.copy_node(&twin.memory)?;
        twin.kernel.copy_flows(&twin.memory)
    }

    /// Now and then has packets come in by an uplink: a pod sees clients as the node, whose end
    /// this is, and a Service has another set of endpoints for them, or lets none of them in.
    pub(crate) fn maybe_outside(
        &mut self,
        twin: &mut Twin,
        cast: &Cast,
        chance: &mut Chance,
    ) -> Result<Option<SocketAddr>> {
        if !chance.one_in(6) {
            return Ok(None);
        }
        self.changed = true;
        let memory = &mut twin.memory;
        memory.add_uplink(LOOPBACK, [4, 6].map(|family| node(family).ip()));
        if chance.one_in(2) {
            memory.node.direct_until_ns = u64::MAX;
        }
        let node = node(if cast.client.is_ipv4() { 4 } else { 6 });
        for protocol in [TCP, UDP, SCTP] {
            memory.add_masquerade(cast.client, cast.pods[0], node, protocol);
        }
        let protocol = *chance.pick(&[TCP, UDP, SCTP]);
        match chance.below(3) {
            0 => {
                memory.set_flags(cast.service, protocol, Service::SPLIT);
                memory.add_outside(cast.service, protocol, &ids(cast, protocol)[1..]);
            }
            1 => memory.set_flags(cast.service, protocol, Service::RANGES),
            _ => {}
        }
        twin.copy()?;
        Ok(Some(node))
    }

    /// Now and then changes something that a conversation may be using.
    pub(crate) fn maybe_change(
        &mut self,
        twin: &mut Twin,
        cast: &Cast,
        chance: &mut Chance,
    ) -> Result<()> {
        if !chance.one_in(24) {
            return Ok(());
        }
        if chance.one_in(8) {
            twin.memory.node.takeover = chance.pick(&TAKEOVERS).number();
            return twin.kernel.copy_node(&twin.memory);
        }
        self.changed = true;
        if chance.one_in(8) {
            let how = if chance.one_in(2) {
                Tear::Halves
            } else {
                Tear::OtherKey
            };
            tear(&mut twin.memory, *chance.pick(&VALUES), how);
            return twin.copy();
        }
        change(&mut twin.memory, cast, chance);
        twin.kernel.copy_services(&twin.memory)
    }
}

/// The node's end towards a backend elsewhere.
fn node(family: u8) -> SocketAddr {
    let address = match family {
        4 => IpAddr::from([192, 0, 2, 10]),
        _ => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]),
    };
    SocketAddr::new(address, 61_234)
}

const TAKEOVERS: [Takeover; 4] = [
    Takeover::Observing,
    Takeover::Serving,
    Takeover::Moving,
    Takeover::Done,
];

/// The Services that conversations dial: one over all pods, one over the first, one over none.
pub(crate) fn services(cast: &Cast) -> [SocketAddr; 3] {
    [
        cast.service,
        cast.other,
        SocketAddr::new(cast.other.ip(), cast.other.port() + 1),
    ]
}

/// Where the cast's Services have their addresses from, and [`unallocated`] too.
fn ranges() -> [Range; 2] {
    let [mut v4, mut v6] = [Range::default(); 2];
    v4.network[..2].copy_from_slice(&[10, 96]);
    v4.mask[..2].fill(0xff);
    v6.network[..4].copy_from_slice(&[0xfd, 0, 0, 0x96]);
    v6.mask[..6].fill(0xff);
    [v4, v6]
}

/// An address that no Service has, where Services have theirs from.
pub(crate) fn unallocated(cast: &Cast) -> SocketAddr {
    let address = if cast.client.is_ipv4() {
        IpAddr::from([10, 96, 200, 1])
    } else {
        IpAddr::from([0xfd00, 0x96, 0, 0, 7, 0, 0, 1])
    };
    SocketAddr::new(address, 80)
}

/// What clients are told: most of the time as often as they ask.
fn refusals(chance: &mut Chance) -> Refusals {
    let mut manner = || {
        if chance.one_in(4) {
            Manner::Drop.byte()
        } else {
            Manner::Answer.byte()
        }
    };
    let [no_endpoint, unknown_flow, unknown_port, echo] = [0; 4].map(|_| manner());
    Refusals {
        no_endpoint,
        unknown_flow,
        unknown_port,
        echo,
        ..Refusals::per_second(*chance.pick(&[0, 1, 1_000]))
    }
}

fn ids(cast: &Cast, protocol: u8) -> [u32; 3] {
    let first = match (cast.client.is_ipv4(), protocol) {
        (true, SCTP) => 13,
        (true, TCP) => 1,
        (true, _) => 4,
        (false, SCTP) => 16,
        (false, TCP) => 7,
        (false, _) => 10,
    };
    [first, first + 1, first + 2]
}

/// One change that the agent may make.
fn change(memory: &mut Memory, cast: &Cast, chance: &mut Chance) {
    let protocol = *chance.pick(&[TCP, TCP, UDP, SCTP]);
    let ids = ids(cast, protocol);
    let index = chance.below(ids.len());
    let service = services(cast)[chance.below(2)];
    match chance.below(12) {
        state @ 0..4 => {
            let state = [Active, Draining, Quiet, Free][state];
            if memory.backends.contains_key(&ids[index]) {
                memory.set_backend(ids[index], state);
            }
        }
        4 => drop(memory.backends.remove(&ids[index])),
        5 => memory.add_backend(ids[index], cast.pods[chance.below(3)], protocol),
        6 => memory.add_service(service, protocol, &ids[..index]),
        9 => memory.set_flags(services(cast)[2], protocol, Service::ELSEWHERE),
        7 | 8 => memory.set_affinity(service, protocol, *chance.pick(&[0, 1, 60])),
        10 => {
            let _gone = memory.backends.remove(&ids[index]);
            memory.remove_service(service, protocol);
        }
        _ => memory.remove_service(service, protocol),
    }
}
