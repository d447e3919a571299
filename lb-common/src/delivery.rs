// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct delivery: a translated packet goes to its next hop at once, past the host's stack.
//!
//! Each packet decides by itself, and what is in doubt goes through the stack, which then does what
//! it always does. So what the stack would have looked at is looked at here: that forwarding is on
//! and a route leads on, out of another interface, to a neighbour that is known; that the packet
//! has hops left and fits; that nothing in its headers asks for more; and that its source is behind
//! the interface that it came by, which covers every setting of `rp_filter` and what the stack
//! calls martian.
//!
//! What the routing table says of two addresses is remembered for a tenth of a second: to ask it
//! twice for each packet costs more than all else that is done with one. It is not told the ports,
//! so that all flows between two share an answer; where the host routes by them, `auto` leaves
//! everything to the stack, and of several equal ways all flows between two take the same.

use crate::family::{NETWORK_AT, Own};
use crate::packet::{OutOfPacket, Packet};
use crate::parse::Datagram;
use crate::tables::Environment;
use crate::wire::{PASSAGES, Passage, Route, Tuple, fingerprint, protocol};

/// How long the routing table's word is believed.
const FRESH_NS: u64 = 100_000_000;

/// What the host's routing table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// A packet like that is not sent on, or does not fit.
    Nowhere,
    /// It would be sent on, once its next hop's station is known.
    Unresolved,
    /// It would be sent on.
    Onwards,
}

/// What is known of a packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The interface that it came by.
    pub ifindex: u32,
    /// How long it is, from the Ethernet header on.
    pub length: u32,
    /// Payload of each of the segments that it stands for; 0 = for one.
    pub segment: u32,
}

/// How a packet gets to its next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the pod at the other end of the link.
    Pod,
    /// Out of the interface, to a neighbour.
    Neighbour,
}

/// Hops that a packet has left, and what its IP header says of the kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    /// Time to live, or hop limit.
    pub left: u8,
    /// As in [`Route::class`].
    pub class: [u8; 4],
}

/// Whether packets may pass the host's stack by.
#[inline(always)]
pub fn is_on<T: Environment>(tables: &T) -> bool {
    match tables.node().direct_until_ns {
        0 => false,
        u64::MAX => true,
        until_ns => tables.about_now_ns() < until_ns,
    }
}

/// Whether a packet that the stack would route as one of `tuple` can go without it; then `passage`
/// says where to, and this is how many hops it has left. Changes nothing.
#[inline(always)]
pub fn find<F: Own, P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &mut T,
    datagram: &Datagram<F::Address>,
    tuple: &Tuple<F::Address>,
    passage: &mut Passage,
) -> Option<u8> {
    // Options and extension headers are the stack's, and so are fragments.
    if datagram.transport_at != F::TRANSPORT_AT || datagram.is_first != 0 {
        return None;
    }
    let arrival = packet.arrival()?;
    let length = length::<F, P>(packet, datagram, &arrival)?;
    let Hops { left, class } = F::load_hops(packet).ok()?;
    // The stack tells the sender that it has run out of hops.
    if left <= 1 || !F::is_host(&tuple.source) {
        return None;
    }

    let now_ns = tables.about_now_ns();
    let place = place::<F>(tuple, class);
    ask::<F>(&mut passage.asked, tuple, &arrival, class, length);
    let memory = recall(tables, place, passage, now_ns);
    if memory == Memory::Same {
        return Some(left);
    }
    // Not the source's own packet, so no length that might not fit.
    let route = &mut passage.answered;
    ask::<F>(route, &tuple.turned(), &arrival, class, 1);
    if packet.route(route) == Routed::Nowhere || route.ifindex != arrival.ifindex {
        return None;
    }
    // What would leave as it came is the stack's, which tells the sender of the shorter way.
    *route = passage.asked;
    if packet.route(route) != Routed::Onwards || route.ifindex == arrival.ifindex {
        return None;
    }
    passage.is_into_pod = u32::from(tables.is_pod_link(route.ifindex));
    // Where there are more flows than places, to take turns in one would make all of them ask.
    if memory == Memory::Nothing {
        passage.until_ns = now_ns.saturating_add(FRESH_NS);
        tables.remember(place, passage);
    }
    Some(left)
}

/// Hands over what [`find`] has found a way for.
#[inline(always)]
pub fn hand_over<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    passage: &Passage,
    hops_left: u8,
) -> Result<(), OutOfPacket> {
    let route = &passage.answered;
    F::store_hops(packet, hops_left, hops_left.saturating_sub(1))?;
    if passage.is_into_pod == 0 {
        packet.send(Way::Neighbour, route);
        return Ok(());
    }
    // As if it had come over the link.
    let [t0, t1, t2, t3, t4, t5] = route.to_station;
    let [f0, f1, f2, f3, f4, f5] = route.from_station;
    packet.store(0, &[t0, t1, t2, t3, t4, t5, f0, f1, f2, f3, f4, f5])?;
    packet.send(Way::Pod, route);
    Ok(())
}

/// What is remembered in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// What is asked.
    Same,
    /// Something else.
    Other,
    /// Nothing that is young enough.
    Nothing,
}

/// Looks whether what is asked was answered just now; then `passage` is what was found then.
#[inline(always)]
fn recall<T: Environment>(tables: &T, place: u32, passage: &mut Passage, now_ns: u64) -> Memory {
    let known = tables.passage(place);
    let Some(known) = known.filter(|known| now_ns < known.until_ns) else {
        return Memory::Nothing;
    };
    if !known.asked.is_like(&passage.asked) {
        return Memory::Other;
    }
    // A longer packet than has been asked for fits as well, up to what the answer says.
    if passage.asked.length > known.answered.length {
        return Memory::Other;
    }
    passage.answered = known.answered;
    passage.is_into_pod = known.is_into_pod;
    Memory::Same
}

/// Where the way between two addresses is remembered. The uppermost bits depend on all of both;
/// the lower ones would not tell the pods of a network apart.
#[inline(always)]
fn place<F: Own>(tuple: &Tuple<F::Address>, [c0, c1, ..]: [u8; 4]) -> u32 {
    let [.., b4, b5, b6, b7] = fingerprint(&[tuple.source, tuple.destination]).to_le_bytes();
    let pair = u32::from_le_bytes([b4, b5, b6, b7]) >> (u32::BITS - PASSAGES.ilog2());
    let kind = u32::from_le_bytes([tuple.protocol ^ c1, c0, 0, 0]);
    (pair ^ kind) & (PASSAGES - 1)
}

/// Where TCP's header says how long it is (RFC 9293, section 3.1).
const DATA_OFFSET_AT: usize = 12;

/// Length of the longest IP packet that it will be on the wire; none where it is shorter than it
/// says, or nobody knows.
#[inline(always)]
fn length<F: Own, P: Packet + ?Sized>(
    packet: &P,
    datagram: &Datagram<F::Address>,
    arrival: &Arrival,
) -> Option<u16> {
    let whole = usize::try_from(arrival.length).ok()?;
    if whole < datagram.end {
        return None;
    }
    let end = if arrival.segment == 0 {
        whole
    } else {
        let header = match datagram.tuple.protocol {
            protocol::TCP => {
                let mut offset = [0; 1];
                packet
                    .load(datagram.transport_at + DATA_OFFSET_AT, &mut offset)
                    .ok()?;
                let [offset] = offset;
                usize::from(offset >> 4) << 2
            }
            protocol::UDP => 8,
            _ => return None,
        };
        datagram.transport_at + header + usize::try_from(arrival.segment).ok()?
    };
    u16::try_from(end.saturating_sub(NETWORK_AT)).ok()
}

#[inline(always)]
fn ask<F: Own>(
    route: &mut Route,
    tuple: &Tuple<F::Address>,
    arrival: &Arrival,
    class: [u8; 4],
    length: u16,
) {
    *route = Route {
        family: F::NUMBER,
        protocol: tuple.protocol,
        source_port: [0; 2],
        destination_port: [0; 2],
        length,
        ifindex: arrival.ifindex,
        class,
        source: F::widen(tuple.source),
        destination: F::widen(tuple.destination),
        vlan: [0; 4],
        from_station: [0; 6],
        to_station: [0; 6],
    };
}

#[cfg(test)]
mod tests;
