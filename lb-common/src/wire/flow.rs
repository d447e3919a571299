// SPDX-License-Identifier: MIT OR Apache-2.0
//! `FLOWS` and `REVERSE`: conntrack, in the client's and in the backend's direction.
//!
//! Both exist twice: half-open flows live in LRU tables of their own, so that a flood of SYNs, or
//! of datagrams that nobody answers, evicts other half-open flows and nothing else.

use super::seal::sealed;
use crate::family::WideAddress;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One tracked connection, keyed by the [`super::Tuple`] that the client sends. 96 bytes.
///
/// `expires_ns`, and each side's `seen` and `progress`, change in place, each a single word with
/// one writing direction (expiry: last writer wins); all else is written once, when the flow is
/// made.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Flow {
    /// When the flow was made, `CLOCK_MONOTONIC`; its version, and what ties both directions.
    pub born_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// From when on the flow is a tombstone: packets are still translated, a new decision may
    /// replace it. The entry goes `Timeouts::tombstone_ns` later.
    pub expires_ns: u64,
    /// Epoch of the backend when it was chosen.
    pub epoch: u64,
    /// Id of the backend.
    pub backend: u32,
    /// What was seen from the client: `conntrack::seen` bits.
    pub client_seen: u32,
    /// What was seen from the backend: `conntrack::seen` bits.
    pub backend_seen: u32,
    /// Port of the backend, network order.
    pub port: [u8; 2],
    /// Source port that the backend sees, network order; the client's own unless that was taken.
    pub client_port: [u8; 2],
    /// Address of the backend, network order, IPv4 in the first four bytes.
    pub address: WideAddress,
    /// The agent's number for the Service, as in `Service::service_id`.
    pub service_id: u32,
    /// Always zero.
    pub pad: u32,
    /// How far the client has come, of TCP: [`Progress::word`].
    pub client_progress: u64,
    /// How far the backend has come, likewise.
    pub backend_progress: u64,
    /// Equal to `born_ns` in a whole value.
    pub born_ns_end: u64,
}

sealed!(Flow: born_ns, born_ns_end);

/// How far one side of a TCP connection has come, in sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What comes after the last byte, SYN or FIN that it was seen to send.
    pub next: u32,
    /// What it was last seen to acknowledge.
    pub acknowledged: u32,
}

impl Progress {
    /// As it is written, so that both change at once.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        #[expect(clippy::as_conversions, reason = "widens; `From` is not const")]
        let (next, acknowledged) = (self.next as u64, self.acknowledged as u64);
        next << 32 | acknowledged
    }

    /// What a word says.
    #[inline(always)]
    pub const fn of_word(word: u64) -> Self {
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "its halves"
        )]
        let (next, acknowledged) = ((word >> 32) as u32, word as u32);
        Self { next, acknowledged }
    }
}

/// How a reply finds its flow, keyed by the [`super::Tuple`] that the backend sends. 48 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Reverse {
    /// `born_ns` of the flow it belongs to.
    pub born_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// The Service's address, network order, IPv4 in the first four bytes.
    pub service_address: WideAddress,
    /// The Service's port, network order.
    pub service_port: [u8; 2],
    /// The client's own port, network order.
    pub client_port: [u8; 2],
    /// Always zero.
    pub pad: u32,
    /// Equal to `born_ns` in a whole value.
    pub born_ns_end: u64,
}

sealed!(Reverse: born_ns, born_ns_end);

const _: () = assert!(size_of::<Flow>() == 96);
const _: () = assert!(size_of::<Reverse>() == 48);
