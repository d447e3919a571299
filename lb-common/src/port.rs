// SPDX-License-Identifier: MIT OR Apache-2.0
//! The port allocator: another source port where the client's own is taken towards a backend.
//!
//! It only proposes; making the reverse entry decides, so no list of free ports is needed.

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
