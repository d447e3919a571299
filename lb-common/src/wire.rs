// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel ABI of Weiche: every type that crosses into a map, defined once for both sides.
//!
//! Keys are byte arrays in network order (alignment 1, generic over the family). Values are native
//! integers with explicit padding and are the same type for both families. A value that decides
//! something is [sealed](Sealed): it carries its identity and a version at both ends, because the
//! kernel reuses a freed hash element at once: a reader may see another key's value or a mixture.

mod account;
mod admitted;
mod affinity;
mod backend;
mod ends;
mod expiry;
mod flow;
mod foreign;
mod fragment;
mod frontend;
mod mask;
mod names;
mod node;
mod passage;
mod path_mtu;
mod range;
mod route;
mod seal;
mod slots;
mod socket;
mod tunnelled;
mod tuple;
mod uplink;

pub use account::Account;
pub use admitted::Admitted;
pub use affinity::Affinity;
pub use backend::{Backend, BackendState};
pub use ends::{PAGE_SPOTS, PAGES, Page};
pub use expiry::{Expiry, Round, Sweep};
pub use flow::{Flow, Progress, Reverse};
pub use foreign::Foreign;
pub use fragment::{Fragment, FragmentKey};
pub use frontend::{FrontendKey, Service, scope};
pub use mask::{MASQUERADES, Mask, Onwards};
pub use names::{
    Labels, NAME_WORDS, NameEntry, NameKind, Resolver, ResolverMode, SHORT_WORDS, ShortLabels,
};
pub use node::{Manner, Node, Refusals, Takeover, Timeouts};
pub use passage::{PASSAGES, Passage};
pub use path_mtu::PathMtu;
pub use range::Range;
pub use route::Route;
pub use seal::{Sealed, fingerprint};
pub use slots::{CHUNK_SLOTS, Chunk, Slot};
pub use socket::SocketEnds;
pub use tunnelled::Tunnelled;
pub use tuple::Tuple;
pub(crate) use tuple::put;
pub use uplink::Uplink;

/// Version of the layout of all maps together. A change to any type in here, to a map's kind or to
/// the meaning of a field raises it; pins of other layouts live in folders of their own.
pub const LAYOUT: u32 = 11;

/// IP protocol numbers that have ports (IANA protocol numbers).
pub mod protocol {
    /// Transmission Control Protocol, RFC 9293.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol, RFC 768.
    pub const UDP: u8 = 17;
    /// Stream Control Transmission Protocol, RFC 9260.
    pub const SCTP: u8 = 132;
}
