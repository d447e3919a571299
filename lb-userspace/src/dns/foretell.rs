// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel would answer: its program's own code, over its own maps, on a made-up packet.

use crate::maps::{StoreError, kernel::KernelNames};
use etherparse::{PacketBuilder, err::packet::BuildVecWriteError};
use lb_common::{
    dns::{self, Scratch},
    family::V4,
    packet::Buffer,
    parse::{Datagram, parse},
    tables::{Environment, Found, Torn, Word},
    wire::{Labels, NameEntry, Node, Resolver, ResolverMode, Sealed as _},
};
use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    ops::Deref,
};
use zerocopy::FromZeros as _;

/// In front of a query: the headers of Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;
/// Bytes by which an answer is longer than its query, at most.
const GROWTH: usize = 128;
/// Hosts and ports that an answer does not depend on (RFC 5737).
const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 53);

/// The answer that these tables have for a query; none: it is left to the server. Whether questions
/// are answered at all, and where, is not looked at.
pub fn answer(tables: &impl Environment, query: &[u8]) -> Option<Vec<u8>> {
    let mut room = frame(query)?;
    let length = room.len();
    room.resize(length + GROWTH, 0);
    let mut packet = Buffer::new(&mut room, length);
    let (mut datagram, mut scratch) = (Datagram::new_zeroed(), Scratch::new_zeroed());
    parse::<V4, _>(&packet, &mut datagram).ok()?;
    dns::answer::<V4, _, _>(&mut packet, tables, &datagram, &mut scratch)?;
    packet.bytes().get(HEADERS..).map(<[u8]>::to_vec)
}

/// The answer that the kernel has now.
pub fn answer_of_kernel(
    maps: &KernelNames,
    query: &[u8],
    now_ns: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let live = Live {
        maps,
        now_ns,
        failure: RefCell::new(None),
    };
    let answer = answer(&live, query);
    live.failure.into_inner().map_or(Ok(answer), Err)
}

/// Whether a Pod that sends this query to a server is answered by the kernel now.
pub fn is_answered(
    maps: &KernelNames,
    server: SocketAddr,
    query: &[u8],
    now_ns: u64,
) -> Result<bool, StoreError> {
    let resolver = maps.resolver()?;
    let is_there = match server.ip() {
        IpAddr::V4(address) => address.octets() == resolver.narrow,
        IpAddr::V6(address) => address.octets() == resolver.wide,
    };
    let is_asked = is_there
        && server.port().to_be_bytes() == resolver.port
        && ResolverMode::from_byte(resolver.mode) == ResolverMode::On;
    Ok(is_asked && answer_of_kernel(maps, query, now_ns)?.is_some())
}

fn frame(query: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let packet = link.ipv4(CLIENT.0, SERVER.0, 64).udp(CLIENT.1, SERVER.1);
    let built: Result<(), BuildVecWriteError> = packet.write_to_vec(&mut frame, query);
    // What can fail is a query that is longer than any datagram.
    built.ok().map(|()| frame)
}

/// The kernel's maps, as its program reads them.
struct Live<'a> {
    maps: &'a KernelNames,
    now_ns: u64,
    failure: RefCell<Option<StoreError>>,
}

impl Live<'_> {
    /// What was read, or something else in place of it after a failure, which ends it all.
    fn read<T>(&self, read: Result<T, StoreError>, otherwise: T) -> T {
        read.unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            otherwise
        })
    }
}

/// What has nothing to do with names is never asked for.
impl<'a> Environment for Live<'a> {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn node(&self) -> impl Deref<Target = Node> + use<'a> {
        Box::new(Node::default())
    }

    fn is_pod_link(&self, _ifindex: u32) -> bool {
        false
    }

    fn resolver_whole(&self, into: &mut Resolver) -> bool {
        *into = self.read(self.maps.resolver(), Resolver::default());
        into.intact(Resolver::IDENTITY)
    }

    fn name(&self, key: &Labels, into: &mut NameEntry) -> Found<()> {
        let found = self.read(self.maps.find(key), Err(Torn))?;
        Ok(found.map(|entry| *into = entry))
    }

    fn account(&self, _word: Word) -> u64 {
        0
    }

    fn settle(&mut self, _word: Word, _from: u64, _to: u64) -> bool {
        false
    }
}
