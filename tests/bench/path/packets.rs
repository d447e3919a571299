// SPDX-License-Identifier: MIT OR Apache-2.0
//! Datagrams of many flows, one way: from a source at the client's end of its link to a sink in the
//! backend's place. Neither sockets nor the client cost anything, so what a packet costs is the
//! node's, and its link's, which brings it as a NIC's driver would.

use std::net::{IpAddr, SocketAddr};

use tests::{
    packet::udp,
    source::{Sink, Source},
};

use super::world::World;

/// Datagrams that are sent at a time; to begin takes the kernel some 30 ms.
const PIECE: u32 = 65_536;
/// Flows that they are of, in turn: those bits of the client's port.
const FLOWS: u16 = 0x0fff;
/// The client's first port.
const FIRST_PORT: u16 = 0x4000;
/// Of a datagram; at its begin, the complement of the port.
const PAYLOAD: [u8; 18] = *b"\xff\xff................";

/// A source and a sink, in one world.
pub(super) struct Packets<'a> {
    world: &'a World,
    source: Source,
    sink: Sink,
    /// What the sink had taken when it was last asked.
    taken: u64,
}

impl<'a> Packets<'a> {
    pub(super) fn new(world: &'a World) -> anyhow::Result<Self> {
        let sink = Sink::open(&world.backend, "eth0")?;
        let client = SocketAddr::new(IpAddr::from(World::CLIENT), 0);
        let datagram = udp(client, world.target()).payload(&PAYLOAD);
        // The client's port, and the payload.
        let places = [14 + 20, 14 + 20 + 8, 14 + 20 + 8];
        let numbers = (places, [FLOWS, FIRST_PORT]);
        world.node.take_xdp_frames(World::CLIENT_LINK)?;
        let source = Source::open_sending(&world.client, "eth0", &datagram.bytes(), numbers)?;
        Ok(Self {
            world,
            source,
            sink,
            taken: 0,
        })
    }

    /// Sends a piece of them; how many have arrived since the last time.
    pub(super) fn piece(&mut self) -> anyhow::Result<f64> {
        self.source.send(PIECE)?;
        let before = self.taken;
        self.taken = self.sink.taken()?;
        let arrived = u32::try_from(self.taken - before)?;
        Ok(f64::from(arrived))
    }
}

impl Drop for Packets<'_> {
    fn drop(&mut self) {
        // Others' packets shall not wait for each other there.
        if let Err(error) = self.world.node.leave_xdp_frames(World::CLIENT_LINK) {
            eprintln!("{error:#}");
        }
    }
}
