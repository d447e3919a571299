// SPDX-License-Identifier: MIT OR Apache-2.0
//! `FOREIGN`: flows that netfilter's conntrack owns while we take over from kube-proxy.

use super::seal::sealed;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A flow to a Service that the host's stack translates, keyed by the [`super::Tuple`] that the
/// client sends. 32 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Foreign {
    /// When it was last seen, by a packet or in conntrack's own list, `CLOCK_MONOTONIC`; the
    /// value's version. Packets write it at most once a second.
    pub seen_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// 0 = nothing but a SYN was seen of it, which may come once more; 1 = the client has gone on.
    pub has_gone_on: u32,
    /// Always zero.
    pub pad: u32,
    /// Equal to `seen_ns` in a whole value.
    pub seen_ns_end: u64,
}

sealed!(Foreign: seen_ns, seen_ns_end);

const _: () = assert!(size_of::<Foreign>() == 32);
