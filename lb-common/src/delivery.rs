// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct delivery: a translated packet goes to its next hop at once, past the host's stack.
//!
//! Each packet decides by itself, and what is in doubt goes through the stack, which then does what
//! it always does. So what the stack would have looked at is looked at here: that forwarding is on
//! and a route leads on, out of another interface, to a neighbour that is known; that the packet
//! has hops left and fits; that nothing in its headers asks for more; and that its source is behind
//! the interface that it came by, which covers every setting of `rp_filter` and what the stack
//! calls martian.

use crate::family::{NETWORK_AT, Own};
use crate::packet::{OutOfPacket, Packet};
use crate::parse::Datagram;
use crate::tables::Environment;
use crate::wire::{Route, Tuple, protocol};

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
        until_ns => tables.now_ns() < until_ns,
    }
}

/// Whether a packet that the stack would route as one of `tuple` can go without it; then `route`
/// says where to, and this is how many hops it has left. Changes nothing.
#[inline(always)]
pub fn find<F: Own, P: Packet + ?Sized>(
    packet: &P,
    datagram: &Datagram<F::Address>,
    tuple: &Tuple<F::Address>,
    route: &mut Route,
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

    // Not the source's own packet, so no length that might not fit.
    ask::<F>(route, &tuple.turned(), &arrival, class, 1);
    if packet.route(route) == Routed::Nowhere || route.ifindex != arrival.ifindex {
        return None;
    }
    ask::<F>(route, tuple, &arrival, class, length);
    // What would leave as it came is the stack's, which tells the sender of the shorter way.
    let leads_on = packet.route(route) == Routed::Onwards && route.ifindex != arrival.ifindex;
    leads_on.then_some(left)
}

/// Hands over what [`find`] has found a way for.
#[inline(always)]
pub fn hand_over<F: Own, P: Packet + ?Sized, T: Environment>(
    packet: &mut P,
    tables: &T,
    route: &Route,
    hops_left: u8,
) -> Result<(), OutOfPacket> {
    F::store_hops(packet, hops_left, hops_left.saturating_sub(1))?;
    if !tables.is_pod_link(route.ifindex) {
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
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
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
