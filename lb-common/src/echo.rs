// SPDX-License-Identifier: MIT OR Apache-2.0
//! Echo requests (RFC 792, RFC 4443) for Services' addresses: the node itself answers, since no
//! backend is meant and no host has the address.

use crate::csum::Change;
use crate::family::{NETWORK_AT, Own};
use crate::packet::{OutOfPacket, Packet, Part};
use crate::parse::Datagram;
use crate::rewrite;
use crate::wire::Tuple;

/// Whether a packet of this family's ICMP asks for an echo.
#[inline(always)]
pub fn is_request<F: Own, P: Packet + ?Sized>(packet: &P, datagram: &Datagram<F::Address>) -> bool {
    let [request, _] = F::ECHO;
    let mut header = [0; 8];
    let loaded = packet.load(datagram.transport_at, &mut header);
    let [kind, code, ..] = header;
    loaded.is_ok() && (kind, code) == (request, 0)
}

/// Makes the reply of a request: back to its sender, and otherwise the same.
#[inline(never)]
pub fn reply<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    datagram: &Datagram<F::Address>,
) -> Result<(), OutOfPacket> {
    let [request, reply] = F::ECHO;
    let at = datagram.transport_at;
    let change = Change::between(&[request, 0, 0, 0], &[reply, 0, 0, 0]);
    packet.correct_transport_checksum(at + 2, change, Part::Transport, false)?;
    packet.store(at, &[reply])?;
    let Tuple {
        source,
        destination,
        ..
    } = datagram.tuple;
    // Both addresses stay in the packet, so no sum over them changes.
    F::store_addresses(packet, NETWORK_AT, destination, source, Change::default())?;
    F::renew_hops(packet)?;
    rewrite::turn_round(packet)
}
