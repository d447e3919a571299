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

mod memory;

pub(crate) use memory::{Memory, place, recall};

use crate::family::{NETWORK_AT, Own};
use crate::packet::{OutOfPacket, Packet};
use crate::parse::Datagram;
use crate::tables::Environment;
use crate::wire::{Onwards, Passage, Route, Tuple, Uplink, protocol};

/// How long the routing table's word is believed.
pub(crate) const FRESH_NS: u64 = 100_000_000;

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
    /// The same before the host's stack is there to find the neighbour: it is written in already.
    Station,
}

impl Way {
    /// As [`Passage::way`] says it.
    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Neighbour => 0,
            Self::Pod => 1,
            Self::Station => 2,
        }
    }
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
    let Hops { left, class } = question::<F, P>(packet, datagram, tuple, &mut passage.asked)?;
    let now_ns = tables.about_now_ns();
    let place = place::<F>(tuple, class);
    let memory = recall(tables, place, passage, now_ns);
    if memory == Memory::Same {
        return Some(left);
    }
    if !comes_from_there::<F, P>(packet, tuple, passage) {
        return None;
    }
    // What would leave as it came is the stack's, which tells the sender of the shorter way.
    let route = &mut passage.answered;
    route.set(&passage.asked);
    if packet.route(route) != Routed::Onwards || route.ifindex == passage.asked.ifindex {
        return None;
    }
    let way = if tables.is_pod_link(route.ifindex) {
        Way::Pod
    } else {
        Way::Neighbour
    };
    passage.way = way.number();
    // Where there are more flows than places, to take turns in one would make all of them ask.
    if memory == Memory::Nothing {
        passage.until_ns = now_ns.saturating_add(FRESH_NS);
        tables.remember(place, passage);
    }
    Some(left)
}

/// The same before the host's stack, for a packet from one other machine to another: it has been
/// sent to this node, and goes out of an uplink that takes frames there, be it the one that it came
/// by. What the routing table says is remembered in the packet's masquerade: between two addresses,
/// as above, would be too few places for all clients.
#[inline(always)]
pub fn find_onwards<F: Own, P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &T,
    datagram: &Datagram<F::Address>,
    tuple: &Tuple<F::Address>,
    (passage, uplink, onwards): (&mut Passage, &mut Uplink, &mut Onwards),
) -> Option<Going> {
    let Hops { left, class } = question::<F, P>(packet, datagram, tuple, &mut passage.asked)?;
    passage.way = Way::Station.number();
    let station = sent_to(packet)?;
    let now_ns = tables.about_now_ns();
    if is_known(onwards, &passage.asked, now_ns) {
        onwards.show(&mut passage.answered);
        let is_news = false;
        return (station == onwards.station).then_some(Going { left, is_news });
    }
    if !is_sent_here(packet, tables, uplink) || !comes_from_there::<F, P>(packet, tuple, passage) {
        return None;
    }
    let (asked, answered) = (&passage.asked, &mut passage.answered);
    answered.set(asked);
    if packet.route(answered) != Routed::Onwards {
        return None;
    }
    tables.uplink(answered.ifindex, uplink).ok()??;
    if uplink.takes_frames == 0 {
        return None;
    }
    let until_ns = now_ns.saturating_add(FRESH_NS);
    *onwards = Onwards {
        until_ns,
        comes_by: asked.ifindex,
        leaves_by: answered.ifindex,
        class,
        length: answered.length,
        station,
        from_station: answered.from_station,
        to_station: answered.to_station,
        pad: [0; 8],
        until_end_ns: until_ns,
    };
    Some(Going {
        left,
        is_news: true,
    })
}

/// A packet that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    /// Hops that it has left.
    pub left: u8,
    /// Whether its way is to be remembered.
    pub is_news: bool,
}

/// Whether what is asked was answered just now.
#[inline(always)]
fn is_known(onwards: &Onwards, asked: &Route, now_ns: u64) -> bool {
    now_ns < onwards.until_ns
        && onwards.until_ns == onwards.until_end_ns
        && onwards.comes_by == asked.ifindex
        && onwards.class == asked.class
        && onwards.length >= asked.length
}

/// Whether a frame that has come by an uplink was sent to this node's station there: who overhears
/// others' says nothing.
#[inline(always)]
pub fn is_sent_here<P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &T,
    uplink: &mut Uplink,
) -> bool {
    let is_uplink = tables.uplink(packet.ifindex(), uplink) == Ok(Some(()));
    is_uplink && sent_to(packet) == Some(uplink.station)
}

/// The station that a frame was sent to.
#[inline(always)]
pub(crate) fn sent_to<P: Packet + ?Sized>(packet: &P) -> Option<[u8; 6]> {
    let mut station = [0; 6];
    packet.load(0, &mut station).ok()?;
    Some(station)
}

/// Hands over what was found a way for.
#[inline(always)]
pub fn hand_over<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    passage: &Passage,
    hops_left: u8,
) -> Result<(), OutOfPacket> {
    F::store_hops(packet, hops_left, hops_left.saturating_sub(1))?;
    pass_on(packet, passage)
}

/// The same for a packet whose hops are not this node's to count.
#[inline(always)]
pub(crate) fn pass_on<P: Packet + ?Sized>(
    packet: &mut P,
    passage: &Passage,
) -> Result<(), OutOfPacket> {
    let route = &passage.answered;
    if passage.way == Way::Neighbour.number() {
        packet.send(Way::Neighbour, route);
        return Ok(());
    }
    // Into a pod: as if it had come over the link.
    packet.store(0, &route.stations())?;
    if passage.way == Way::Pod.number() {
        packet.send(Way::Pod, route);
    } else {
        packet.send(Way::Station, route);
    }
    Ok(())
}

/// Whether the next hop's station is written in where a packet goes by this passage.
#[inline(always)]
pub(crate) fn has_station(passage: &Passage) -> bool {
    passage.way == Way::Station.number()
}

/// What is asked for a packet, and its hops, if it may go without the stack at all.
#[inline(always)]
fn question<F: Own, P: Packet + ?Sized>(
    packet: &P,
    datagram: &Datagram<F::Address>,
    tuple: &Tuple<F::Address>,
    route: &mut Route,
) -> Option<Hops> {
    // Options and extension headers are the stack's, and so are fragments.
    if datagram.transport_at != F::TRANSPORT_AT || datagram.is_first != 0 {
        return None;
    }
    let arrival = packet.arrival(datagram.end)?;
    let length = length::<F, P>(packet, datagram, &arrival)?;
    let hops = F::load_hops(packet).ok()?;
    // The stack tells the sender that it has run out of hops.
    if hops.left <= 1 || !F::is_host(&tuple.source) {
        return None;
    }
    ask::<F>(route, tuple, arrival.ifindex, hops.class, length);
    Some(hops)
}

/// Whether the source of what `passage` asks for is behind the interface that it came by.
#[inline(always)]
fn comes_from_there<F: Own, P: Packet + ?Sized>(
    packet: &P,
    tuple: &Tuple<F::Address>,
    passage: &mut Passage,
) -> bool {
    let Route { ifindex, class, .. } = passage.asked;
    // Not the source's own packet, so no length that might not fit.
    let route = &mut passage.answered;
    ask::<F>(route, &tuple.turned(), ifindex, class, 1);
    packet.route(route) != Routed::Nowhere && route.ifindex == ifindex
}

/// Where TCP's header says how long it is (RFC 9293, section 3.1).
const DATA_OFFSET_AT: usize = 12;

/// Length of the longest IP packet that it will be on the wire; none where it is shorter than it
/// says, or nobody knows.
#[inline(always)]
pub(crate) fn length<F: Own, P: Packet + ?Sized>(
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

/// Makes a question of it. Stations are only in answers, and stay what they are: of what is asked,
/// nothing, as the frame was before the first packet.
#[inline(always)]
pub(crate) fn ask<F: Own>(
    route: &mut Route,
    tuple: &Tuple<F::Address>,
    ifindex: u32,
    class: [u8; 4],
    length: u16,
) {
    let ends = (F::widen(tuple.source), F::widen(tuple.destination));
    route.ask([F::NUMBER, tuple.protocol], length, (ifindex, class), ends);
}

#[cfg(test)]
mod tests;
