// SPDX-License-Identifier: MIT OR Apache-2.0
//! New addresses and ports, and the checksums that follow from them.

use crate::csum::Change;
use crate::family::{Family, NETWORK_AT};
use crate::packet::{OutOfPacket, Packet, Part};
use crate::parse::Datagram;
use crate::sctp;
use crate::wire::{Tuple, protocol};

/// Where the checksum stands in a TCP header (RFC 9293, section 3.1).
const TCP_CHECKSUM_AT: usize = 16;
/// Where the checksum stands in a UDP header (RFC 768).
const UDP_CHECKSUM_AT: usize = 6;

/// Gives a datagram other addresses and ports; what stays the same is written as it was.
///
/// Checksums come first: they are the calls that the kernel may refuse.
#[inline(always)]
pub fn apply<F: Family, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<F::Address>,
    to: &Tuple<F::Address>,
) -> Result<(), OutOfPacket> {
    let from = &datagram.tuple;
    let addresses =
        F::change(&from.source, &to.source).plus(F::change(&from.destination, &to.destination));
    let (old_ports, new_ports) = (from.ports(), to.ports());
    if let Some((check_at, zero_is_none)) = checksum(datagram) {
        let ports = Change::between(&old_ports, &new_ports);
        packet.correct_transport_checksum(check_at, addresses, F::PSEUDO_HEADER, zero_is_none)?;
        if old_ports != new_ports {
            packet.correct_transport_checksum(check_at, ports, Part::Transport, zero_is_none)?;
        }
    } else {
        let (at, end) = (datagram.transport_at, datagram.end);
        sctp::correct(packet, at, end, old_ports, new_ports)?;
    }

    if datagram.transport_at == NETWORK_AT + F::HEADER {
        return F::store_ends(packet, NETWORK_AT, to, addresses);
    }
    packet.store(datagram.transport_at, &new_ports)?;
    F::store_addresses(packet, NETWORK_AT, to.source, to.destination, addresses)
}

/// Where a datagram's checksum stands, and whether a zero there means that it has none; nothing for
/// SCTP, whose checksum is of another kind.
#[inline(always)]
pub fn checksum<A>(datagram: &Datagram<A>) -> Option<(usize, bool)> {
    match datagram.tuple.protocol {
        protocol::TCP => Some((datagram.transport_at + TCP_CHECKSUM_AT, false)),
        protocol::SCTP => None,
        _ => Some((datagram.transport_at + UDP_CHECKSUM_AT, true)),
    }
}

/// Sends a frame back to the station that it came from.
#[inline(always)]
pub fn turn_round<P: Packet + ?Sized>(packet: &mut P) -> Result<(), OutOfPacket> {
    let mut ends = [0; 12];
    packet.load(0, &mut ends)?;
    let [t0, t1, t2, t3, t4, t5, f0, f1, f2, f3, f4, f5] = ends;
    packet.store(0, &[f0, f1, f2, f3, f4, f5, t0, t1, t2, t3, t4, t5])
}
