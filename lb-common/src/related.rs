// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors about a flow's packets: what they quote, and how they look to the other side.
//!
//! An error quotes the packet that it is about, as whoever sends the error has seen it (RFC 792,
//! RFC 4443). Its receiver looks for its own packet in the quotation: so that is translated back,
//! and with it the destination, and the source where that is the backend itself.

use crate::csum::{Change, add_to, corrected};
use crate::family::{Family, NETWORK_AT, Network, Piece};
use crate::frame::Frame;
use crate::packet::{OutOfPacket, Packet, Part};
use crate::parse::{Datagram, malformed};
use crate::rewrite;
use crate::verdict::Reason;
use crate::wire::{Tuple, protocol};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Bytes before the quotation (RFC 792, RFC 4443 section 2.1).
const HEADER: usize = 8;
/// Where the checksum stands in them.
const CHECKSUM_AT: usize = 2;
/// Bytes of the transport header that are always quoted (RFC 792); the ports are among them.
const QUOTED: usize = 8;

/// An ICMP error, but for what it quotes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Message<A> {
    /// Who sends it: an end of the flow, or a router between the two.
    pub source: A,
    /// Who has sent the packet that it quotes.
    pub destination: A,
    /// Where the ICMP header begins.
    pub icmp_at: usize,
    /// Its checksum.
    pub check: [u8; 2],
    /// The quoted packet's own transport checksum.
    pub quoted_check: [u8; 2],
    /// Whether that is quoted; 0 = no.
    pub has_quoted_check: u8,
    /// Whether one end of the quoted packet's flow sees the other as this node; 0 = no.
    pub is_masked: u8,
    /// Nothing.
    pub pad: [u8; 2],
}

/// Reads the ICMP error in the packet of `frame.datagram` into `frame.message`; `frame.datagram`
/// becomes what it quotes, but turned round: as the answer of whoever was sent that, so that the
/// flow is found as for any other packet from that side.
#[inline(always)]
pub fn read<F: Family, P: Packet + ?Sized>(
    packet: &P,
    frame: &mut Frame<F::Address>,
) -> Result<(), Reason> {
    let (datagram, message) = (&mut frame.datagram, &mut frame.message);
    if datagram.tuple.protocol != F::ICMP || datagram.is_first != 0 {
        return Err(Reason::OtherProtocol);
    }
    message.source = datagram.tuple.source;
    message.destination = datagram.tuple.destination;
    message.icmp_at = datagram.transport_at;
    let mut header = [0; HEADER];
    packet
        .load(message.icmp_at, &mut header)
        .map_err(malformed)?;
    let [icmp_type, _, c0, c1, ..] = header;
    message.check = [c0, c1];
    if !F::is_error(icmp_type) {
        return Err(Reason::OtherProtocol);
    }
    quoted::<F, P>(packet, datagram, message)
}

/// Lets `frame.datagram` be the message itself again, as far as its ends go: what it quotes is of
/// no flow.
#[inline(always)]
pub fn give_up<F: Family>(frame: &mut Frame<F::Address>) {
    let (tuple, message) = (&mut frame.datagram.tuple, &frame.message);
    tuple.source = message.source;
    tuple.destination = message.destination;
    tuple.protocol = F::ICMP;
}

/// Reads what the message quotes.
#[inline(always)]
fn quoted<F: Family, P: Packet + ?Sized>(
    packet: &P,
    datagram: &mut Datagram<F::Address>,
    message: &mut Message<F::Address>,
) -> Result<(), Reason> {
    let tuple = &mut datagram.tuple;
    let Network {
        protocol,
        transport_at,
        end,
        piece,
    } = F::network(
        packet,
        message.icmp_at + HEADER,
        tuple,
        &mut datagram.identification,
    )?;
    core::mem::swap(&mut tuple.source, &mut tuple.destination);
    tuple.protocol = protocol;
    if piece == Piece::Later {
        return Err(Reason::RelatedFragment);
    }
    if !matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
        || tuple.destination != message.destination
    {
        return Err(Reason::NotRelated);
    }
    let mut ports = [0; 4];
    packet.load(transport_at, &mut ports).map_err(malformed)?;
    // The quotation ends where the message does, or the quoted packet.
    datagram.end = end.min(datagram.end);
    if datagram.end < transport_at + QUOTED {
        return Err(Reason::Malformed);
    }
    let [s0, s1, d0, d1] = ports;
    tuple.set_ports([d0, d1], [s0, s1], protocol);
    datagram.transport_at = transport_at;
    datagram.tcp_flags = 0;
    message.has_quoted_check = 0;
    message.is_masked = 0;
    // Nobody can check SCTP's without the whole packet, and nobody does.
    if let Some((check_at, _)) = rewrite::checksum(datagram)
        && check_at + 2 <= datagram.end
    {
        message.has_quoted_check = 1;
        packet
            .load(check_at, &mut message.quoted_check)
            .map_err(malformed)?;
    }
    Ok(())
}

/// Lets the quoted packet be the one that `frame.to` answers, and sends the message to whoever
/// has sent that.
///
/// Who sends the message is shown, but for a masquerade's: one router may be on both sides of this
/// node, and it takes no packet that has its own address as the source. There the message is the
/// other end's, as netfilter makes all of them (`nf_nat_icmp_reply_translation`).
///
/// Plain stores suffice: a checksum that a NIC has made of the whole packet stays right, since what
/// changes and the checksums in it balance.
#[inline(always)]
pub fn apply<F: Family, P: Packet + ?Sized>(
    packet: &mut P,
    frame: &Frame<F::Address>,
) -> Result<(), OutOfPacket> {
    let (datagram, message, to) = (&frame.datagram, &frame.message, &frame.to);
    let from = &datagram.tuple;
    let source = if message.source == from.source || message.is_masked != 0 {
        to.source
    } else {
        message.source
    };
    let new_ports = answered_ports(to);
    let ports = Change::between(&answered_ports(from), &new_ports);
    let quoted =
        F::change(&from.source, &to.source).plus(F::change(&from.destination, &to.destination));
    let outer =
        F::change(&message.source, &source).plus(F::change(&message.destination, &to.destination));
    let mut change = match F::PSEUDO_HEADER {
        // The quoted header's own checksum balances its addresses, and ICMP has no pseudo-header.
        Part::BalancedAddresses | Part::Transport => ports,
        Part::Addresses => ports.plus(quoted).plus(outer),
    };

    let old = message.quoted_check;
    if message.has_quoted_check != 0
        && let Some((check_at, zero_is_none)) = rewrite::checksum(datagram)
        && let Some(new) = corrected(old, quoted.plus(ports), zero_is_none)
    {
        change = change.plus(Change::between(&word(old), &word(new)));
        packet.store(check_at, &new)?;
    }
    let check = add_to(message.check, change);
    packet.store(message.icmp_at + CHECKSUM_AT, &check)?;
    packet.store(datagram.transport_at, &new_ports)?;
    let quotation_at = message.icmp_at + HEADER;
    F::store_addresses(packet, quotation_at, to.destination, to.source, quoted)?;
    F::store_addresses(packet, NETWORK_AT, source, to.destination, outer)
}

/// The ports as they stand in the packet that one of this tuple answers.
#[inline(always)]
fn answered_ports<A>(tuple: &Tuple<A>) -> [u8; 4] {
    let [s0, s1] = tuple.destination_port;
    let [d0, d1] = tuple.source_port;
    [s0, s1, d0, d1]
}

/// A checksum as the first half of a word.
#[inline(always)]
fn word([high, low]: [u8; 2]) -> [u8; 4] {
    [high, low, 0, 0]
}
