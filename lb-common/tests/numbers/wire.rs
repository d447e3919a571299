// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two ends who talk to each other, and what may become of what they say.

use super::{ACK, B, C, FIN, Middle, RST, segment};
use lb_common::parse::Datagram;
use lb_common::tables::Side;

/// Two ends with the middle between them, and whatever may happen to what they send.
pub(crate) struct Wire {
    pub(crate) middle: Middle,
    /// What each end sends next, and what it has got up to: client, backend.
    next: [u32; 2],
    got: [u32; 2],
    chance: std::vec::IntoIter<u8>,
    /// A segment that others overtake before it gets to the middle, behind which it is lost: it is
    /// sent again by then.
    late: Option<(Side, Datagram<[u8; 4]>)>,
}

impl Wire {
    pub(crate) fn new(isns: [u32; 2], chance: Vec<u8>) -> Self {
        let [client, backend] = isns.map(|isn| isn.wrapping_add(1));
        Self {
            middle: Middle::open(isns[0], isns[1]),
            next: [client, backend],
            got: [backend, client],
            chance: chance.into_iter(),
            late: None,
        }
    }

    /// Lets an end send a segment; whether it arrives.
    fn carry(&mut self, side: Side, segment: &Datagram<[u8; 4]>) -> bool {
        let fate = self.chance.next().unwrap_or(u8::MAX);
        match fate {
            // Lost before the middle, or behind it.
            0..20 => return false,
            20..40 => {
                self.middle.sees(side, segment);
                return false;
            }
            40..60 if self.late.is_none() && segment.tcp_flags & RST == 0 => {
                self.late = Some((side, *segment));
                return false;
            }
            _ => {
                self.middle.sees(side, segment);
            }
        }
        if let Some((side, late)) = self.late.take() {
            self.middle.sees(side, &late);
        }
        true
    }

    /// An end sends so many bytes, again and again until the other end's ACK has arrived.
    pub(crate) fn sends(&mut self, side: Side, bytes: u32) {
        self.delivers(side, ACK, bytes);
    }

    fn delivers(&mut self, side: Side, flags: u8, bytes: u32) {
        let [own, other] = ends(side);
        let from = self.next[own];
        let numbers = |wire: &Self| [from, wire.got[own]];
        let data = segment(flags, numbers(self), bytes);
        self.next[own] = data.next;
        // Acknowledged, or the last thing that anybody knows of it.
        loop {
            let data = segment(flags, numbers(self), bytes);
            if self.carry(side, &data) {
                self.got[other] = data.next;
                let ack = segment(ACK, [self.next[other], self.got[other]], 0);
                if self.carry(opposite(side), &ack) {
                    return;
                }
            }
        }
    }

    pub(crate) fn closes(&mut self) {
        self.delivers(B, FIN | ACK, 10);
        self.delivers(C, FIN | ACK, 0);
        // What was overtaken comes at last.
        if let Some((side, late)) = self.late.take() {
            self.middle.sees(side, &late);
        }
    }

    /// An end sends data that may get lost, and at once a reset; the other end takes only one that
    /// is exact, and asks if it is not (RFC 5961, section 3.2).
    pub(crate) fn resets(&mut self, side: Side) {
        let [own, other] = ends(side);
        let data = segment(ACK, [self.next[own], self.got[own]], 1_000);
        self.next[own] = data.next;
        if self.carry(side, &data) {
            self.got[other] = data.next;
        }
        let mut sequence = self.next[own];
        loop {
            let is_there = self.carry(side, &segment(RST, [sequence, 0], 0));
            if is_there && sequence == self.got[other] {
                return;
            }
            // It asks, or goes on with what it has to say, since it knows of nothing.
            let asks = segment(ACK, [self.next[other], self.got[other]], 0);
            if self.carry(opposite(side), &asks) {
                sequence = asks.acknowledges;
            }
        }
    }
}

fn ends(side: Side) -> [usize; 2] {
    match side {
        C => [0, 1],
        B => [1, 0],
    }
}

fn opposite(side: Side) -> Side {
    match side {
        C => B,
        B => C,
    }
}
