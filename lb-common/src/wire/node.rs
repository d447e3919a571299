// SPDX-License-Identifier: MIT OR Apache-2.0
//! `NODE`: the settings that the packet path reads.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How long a flow may be silent, in nanoseconds.
///
/// The defaults are what people rely on from kube-proxy and netfilter (`nf_conntrack-sysctl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Timeouts {
    /// TCP before the handshake is complete.
    pub half_open_ns: u64,
    /// TCP with data flowing both ways.
    pub established_ns: u64,
    /// TCP after a FIN from one side (`CLOSE_WAIT`).
    pub close_wait_ns: u64,
    /// UDP without an answer.
    pub udp_unanswered_ns: u64,
    /// UDP with answers.
    pub udp_answered_ns: u64,
    /// How long an ended or expired flow is still translated.
    pub tombstone_ns: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            half_open_ns: 60 * SECOND,
            established_ns: 24 * 3_600 * SECOND,
            close_wait_ns: 3_600 * SECOND,
            udp_unanswered_ns: 30 * SECOND,
            udp_answered_ns: 180 * SECOND,
            tombstone_ns: 60 * SECOND,
        }
    }
}

/// How far we have taken over from a kube-proxy that served before us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// All flows to Services are ours.
    Done,
    /// None begins with us yet: what packets show is written down, and left to the host's stack.
    Observing,
    /// What conntrack owns is left to the host's stack; all else is ours.
    Serving,
    /// The same while our own flows move to other maps: what is unknown may be one of them.
    Moving,
}

impl Takeover {
    /// As it is written in [`Node::takeover`].
    #[inline(always)]
    pub const fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Observing => 1,
            Self::Serving => 2,
            Self::Moving => 3,
        }
    }

    /// What [`Node::takeover`] says to whoever goes on from there: a move is over by then. Numbers
    /// that nobody writes are the cautious one of them.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Done,
            1 => Self::Observing,
            _ => Self::Serving,
        }
    }
}

/// What becomes of a packet that no backend gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Its sender is told.
    Answer,
    /// It is dropped.
    Drop,
    /// It goes on to the host's stack.
    Pass,
}

impl Manner {
    /// As written in a map.
    #[inline(always)]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Answer => 0,
            Self::Drop => 1,
            Self::Pass => 2,
        }
    }

    /// The manner that a byte stands for; what nobody writes is the one that does the least.
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Answer,
            2 => Self::Pass,
            _ => Self::Drop,
        }
    }
}

/// Packets that no backend gets, and how often the node answers. 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Refusals {
    /// Nanoseconds between two answers of the node; 0 = no limit.
    pub interval_ns: u64,
    /// How many nanoseconds' answers it may give at once, besides the first.
    pub burst_ns: u64,
    /// [`Manner`] for Services without any endpoint.
    pub no_endpoint: u8,
    /// [`Manner`] for TCP in the middle of a flow that is not known.
    pub unknown_flow: u8,
    /// [`Manner`] for ports and protocols that a Service's address does not have.
    pub unknown_port: u8,
    /// [`Manner`] for echo requests to a Service's address.
    pub echo: u8,
    /// [`Manner`] for addresses that no Service has, in the range of Services' addresses.
    pub unallocated: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

impl Refusals {
    /// So many answers in a second, a tenth of them at once.
    pub const fn per_second(answers: u32) -> Self {
        #[expect(clippy::as_conversions, reason = "widens; `From` is not const")]
        let interval_ns = match SECOND.checked_div(answers as u64) {
            Some(interval_ns) => interval_ns,
            None => 0,
        };
        Self {
            interval_ns,
            burst_ns: 100_000_000,
            no_endpoint: Manner::Answer.byte(),
            unknown_flow: Manner::Answer.byte(),
            unknown_port: Manner::Answer.byte(),
            echo: Manner::Answer.byte(),
            unallocated: Manner::Drop.byte(),
            pad: [0; 3],
        }
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self::per_second(1_000)
    }
}

/// The node's settings; the only element of an array. 104 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Node {
    /// Seed of the cluster for every choice of a backend. Never shown anywhere.
    pub seed: [u64; 2],
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
    /// First source port that the allocator may give out.
    pub port_first: u16,
    /// Source ports that the allocator may give out, a power of two; 0 = none.
    pub port_count: u16,
    /// [`Takeover::number`].
    pub takeover: u32,
    /// See [`Refusals`].
    pub refusals: Refusals,
    /// Until when translated packets may be handed to their next hop past the host's stack,
    /// `CLOCK_MONOTONIC`; 0 = not at all, `u64::MAX` = without an end. What proves that nothing is
    /// skipped holds for a while only: an agent that has died renews it no longer.
    pub direct_until_ns: u64,
}

impl Default for Node {
    fn default() -> Self {
        // Above the range that Linux gives to sockets by default (ip_local_port_range ends at
        // 60999), and far from the default node ports (30000-32767).
        Self {
            seed: [0; 2],
            timeouts: Timeouts::default(),
            port_first: 61_000,
            port_count: 4_096,
            takeover: Takeover::Done.number(),
            refusals: Refusals::default(),
            direct_until_ns: 0,
        }
    }
}

const _: () = assert!(size_of::<Timeouts>() == 48);
const _: () = assert!(size_of::<Refusals>() == 24);
const _: () = assert!(size_of::<Node>() == 104);
