// SPDX-License-Identifier: MIT OR Apache-2.0
//! The port allocators: another source port where the client's own is taken towards a backend, and
//! a port of this node's for who is shown to a backend as this node.
//!
//! They only propose; making an entry decides, so no list of free ports is needed.

use crate::hash::hash;
use crate::select::Mark;
use crate::wire::Node;

/// The source port of the `attempt`th proposal for a mark, in network order; none when the node
/// gives out no ports.
#[inline(always)]
pub fn propose(node: &Node, mark: &Mark, attempt: u16) -> Option<[u8; 2]> {
    if node.port_count == 0 {
        return None;
    }
    let step = mark
        .port
        .wrapping_add(mark.port_stride.wrapping_mul(attempt));
    let offset = step & node.port_count.wrapping_sub(1);
    Some(node.port_first.wrapping_add(offset).to_be_bytes())
}

/// Ports of this node's that are tried for a client, and how many of them are none of a socket's.
pub const SHOWN_ATTEMPTS: u16 = 12;
const QUIET_ATTEMPTS: u16 = 6;

/// How many turns ahead the second proposal is, in either list; the others are by the square of
/// their number. A near one is free where all but a few have had their turn, and a far one is
/// beyond a long run of turns whose ports are still somebody's a whole round later.
const AHEAD: u64 = 701;

/// First word of what is hashed here, so that no other use of the seed hashes the same.
const PURPOSE: u64 = u64::from_le_bytes(*b"shown\0\0\0");

/// The first port that is nobody's by name (RFC 6335, section 6), the ports that Linux gives to
/// sockets which ask for none (`ip_local_port_range`), and what is behind them.
const FIRST: u64 = 1_024;
const SOCKETS: u64 = 32_768;
const BEHIND: u64 = 61_000;

/// How many ports there are besides those for sockets, and how many of those, each the greatest
/// prime below: so that any stride visits all of them.
const QUIET: u64 = 36_277;
const BUSY: u64 = 28_229;

/// The port of this node's of the `attempt`th proposal, in network order; `turn` is another number
/// for each client.
///
/// One after the other has its turn, in an order that the seed makes, and so each comes again only
/// when all others have been given out: however many clients one backend has, the first proposal
/// is free until there are as many as ports, but for what others have. Instead of that, turns to
/// come are tried, which are as free. Those that sockets of the host get come last.
#[inline(always)]
pub fn shown(node: &Node, turn: u64, attempt: u16) -> [u8; 2] {
    let order = hash(node.seed, &[PURPOSE]);
    // A count is never zero, so there is always a rest.
    let rest = |number: u64, count: u64| number.checked_rem(count).unwrap_or(0);
    let place = |tried: u16, count: u64| {
        let stride = 1 + rest(order >> 32, count - 1);
        let tried = u64::from(tried);
        let turn = turn.wrapping_add(tried * tried * AHEAD);
        let turns = rest(turn, count) * stride;
        rest(turns + (order & 0xffff_ffff), count)
    };
    let port = if attempt < QUIET_ATTEMPTS {
        let place = FIRST + place(attempt, QUIET);
        if place < SOCKETS {
            place
        } else {
            place - SOCKETS + BEHIND
        }
    } else {
        SOCKETS + place(attempt - QUIET_ATTEMPTS, BUSY)
    };
    let [low, high, ..] = port.to_le_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_its_turn() {
        let node = Node {
            seed: [3, 4],
            ..Node::default()
        };
        let port = |turn, attempt| u16::from_be_bytes(shown(&node, turn, attempt));
        for (attempt, count) in [(0, QUIET), (SHOWN_ATTEMPTS - 1, BUSY)] {
            let mut given = [0_u64; 1 << 10];
            for turn in 0..count {
                let port = port(turn, attempt);
                let is_busy = (32_768..61_000).contains(&port);
                assert!(port >= 1_024 && is_busy == (count == BUSY), "{port}");
                let (word, bit) = (usize::from(port >> 6), 1 << (port & 63));
                assert!(given[word] & bit == 0, "{port} comes twice");
                given[word] |= bit;
            }
            // In no order that a client could tell.
            assert!(port(0, attempt).abs_diff(port(1, attempt)) > 1);
        }
    }
}
