// SPDX-License-Identifier: MIT OR Apache-2.0
//! IPv6's headers between the fixed one and the transport header.

use super::{Network, Piece};
use crate::packet::Packet;
use crate::parse::malformed;
use crate::verdict::Reason;

/// Extension headers before the transport header that we walk over; RFC 8200, section 4.1 has six.
const EXTENSIONS_MAX: usize = 6;

/// Goes on to the first header that is no extension header (RFC 8200, section 4), or to where a
/// later fragment's bytes begin.
#[inline(always)]
pub(super) fn walk<P: Packet + ?Sized>(
    packet: &P,
    network: &mut Network,
    identification: &mut [u8; 4],
) -> Result<(), Reason> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    for _ in 0..EXTENSIONS_MAX {
        let Network {
            protocol,
            transport_at,
            ..
        } = *network;
        if !matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
            return Ok(());
        }
        let mut header = [0; 4];
        if packet.load(transport_at, &mut header).is_err() {
            if network.piece == Piece::Whole {
                return Err(Reason::Malformed);
            }
            network.piece = Piece::Short;
            return Ok(());
        }
        let [next, length, third, fourth] = header;
        network.protocol = next;
        match protocol {
            FRAGMENT => {
                let fragment = u16::from_be_bytes([third, fourth]);
                network.transport_at += 8;
                network.piece = Piece::of(fragment & 0xfff8 != 0, fragment & 1 != 0);
                packet
                    .load(transport_at + 4, identification)
                    .map_err(malformed)?;
                if network.piece == Piece::Later {
                    return Ok(());
                }
            }
            // The destination is not the final one while segments are left.
            ROUTING if fourth != 0 => return Err(Reason::Extension),
            _ => network.transport_at += (usize::from(length) + 1) << 3,
        }
    }
    Err(Reason::Extension)
}
