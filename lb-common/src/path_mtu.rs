// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long packets in tunnels may be, where a link between two nodes is narrower than those at the
//! nodes.
//!
//! The router there tells whoever has sent the outer packet, and that is this node. Its error may
//! quote so little that nobody can say whose packet was in there (RFC 792: eight bytes), so it is
//! not translated: what it says is kept for a while, of all that goes to that backend, and who
//! sends the next packet that is too long is told by this node ("tunnel soft state", RFC 2003,
//! section 5.1). Whoever forges such an error makes packets shorter for a while, and not so short
//! that a sender has no way left.

use crate::family::Own;
use crate::frame::Frame;
use crate::packet::{OutOfPacket, Packet};
use crate::tables::{Tables, Torn};
use crate::tunnel;
use crate::wire::{PathMtu, fingerprint, protocol};

/// How long it is kept: then the way may have become wider (RFC 8201, section 4; Linux:
/// `net.ipv4.route.mtu_expires`).
const LASTS_NS: u64 = 600_000_000_000;

/// Whether an ICMP error may be about a packet of a tunnel's: `frame.datagram` is what it quotes,
/// turned, as far as its reader has come.
#[inline(always)]
pub fn looks_so<F: Own>(frame: &Frame<F::Address>) -> bool {
    let answer = &frame.datagram.tuple;
    // It is told to whoever has sent what it quotes.
    answer.destination == frame.message.destination
        && tunnel::has_form::<F>(answer.protocol, answer.source_port)
}

/// The MTU that an ICMP error tells, if it does, and what it quotes is not another's Geneve.
#[inline(always)]
pub fn told<F: Own, P: Packet + ?Sized>(
    packet: &P,
    frame: &Frame<F::Address>,
) -> Result<Option<u16>, OutOfPacket> {
    let mut header = [0; 8];
    packet.load(frame.message.icmp_at, &mut header)?;
    // Of IPv6's four bytes the last two: longer packets are none of this node's.
    let [kind, code, .., high, low] = header;
    let quoted = &frame.datagram;
    // Behind its UDP header, which is all that has to be quoted.
    let geneve_at = quoted.transport_at.saturating_add(8);
    let is_others = quoted.tuple.protocol == protocol::UDP
        && geneve_at.saturating_add(8) <= quoted.end
        && !tunnel::is_geneve::<F, P>(packet, geneve_at)?;
    let tells = [kind, code] == F::TOO_LONG && !is_others;
    Ok(tells.then_some(u16::from_be_bytes([high, low])))
}

/// Keeps what was told of the way to whoever would answer by `frame.to`.
#[inline(always)]
pub fn keep<F: Own, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    told: u16,
) -> Result<(), Torn> {
    let backend = &frame.to.source;
    let now_ns = tables.now_ns();
    let mtu = told.max(F::LEAST_PATH_MTU);
    // It does not become wider by an error, nor stay narrow for longer by one that says more.
    if at_most(tables, backend, &mut frame.path, now_ns)? <= mtu {
        return Ok(());
    }
    frame.path = PathMtu {
        since_ns: now_ns,
        identity: fingerprint(backend),
        mtu: mtu.into(),
        pad: 0,
        since_ns_end: now_ns,
    };
    tables.put_path(backend, &frame.path);
    Ok(())
}

/// How long a packet to a backend's node may be, as far as routers have said.
#[inline(always)]
pub fn at_most<F: Own, T: Tables<F>>(
    tables: &T,
    backend: &F::Address,
    path: &mut PathMtu,
    now_ns: u64,
) -> Result<u16, Torn> {
    let found = tables.path(backend, path)?;
    let is_fresh = now_ns < path.since_ns.saturating_add(LASTS_NS);
    let mtu = u16::try_from(path.mtu).unwrap_or(u16::MAX);
    Ok(if found.is_some() && is_fresh {
        mtu
    } else {
        u16::MAX
    })
}
