// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the packet path works on while a packet passes.
//!
//! It is handed in from outside because a BPF program's stack holds 512 bytes: in the kernel the
//! frame lies in a per-CPU map, and stages fill its parts in place instead of returning them.

use crate::conntrack::{Choice, Target};
use crate::dns::Scratch;
use crate::family::{Family, V4, V6};
use crate::parse::Datagram;
use crate::related::Message;
use crate::select::Mark;
use crate::service::Destination;
use crate::tables::Touch;
use crate::wire::{
    Affinity, Expiry, Flow, Foreign, Fragment, FragmentKey, FrontendKey, Mask, Passage, PathMtu,
    Reverse, Tunnelled, Tuple, Uplink,
};
use zerocopy::{FromBytes, FromZeros as _, Immutable, KnownLayout};

/// The parts of one packet's passage. Any bytes are a valid start.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub struct Frame<A> {
    /// The flow that the packet belongs to, as found or as being made.
    pub flow: Flow,
    /// A reverse entry, as found or as being made.
    pub reverse: Reverse,
    /// What a first fragment has taught of the later ones, as found or as being made.
    pub fragment: Fragment,
    /// A client's affinity, as found or as being made.
    pub affinity: Affinity,
    /// A flow of conntrack's, as found or as being written down.
    pub foreign: Foreign,
    /// Half of a masquerade, as found or as being made.
    pub mask: Mask,
    /// The uplink that a packet would leave by.
    pub uplink: Uplink,
    /// Who gets a new flow.
    pub choice: Choice,
    /// What chooses for a new flow.
    pub mark: Mark,
    /// Number of the reason that a packet of which nothing is known ends for so far.
    ///
    /// It stands here and not in a register for the verifier, which would walk what follows once
    /// for each number.
    pub end: u8,
    /// What was there before a flow that begins: a [`crate::conntrack::Past`], as a byte.
    pub past: u8,
    /// Whether it is known that no Service has the address that the packet is for; 0 = no.
    pub is_elsewhere: u8,
    /// Whether the packet is a question for a name that was left to the server, and is met for the
    /// second time; 0 = no.
    pub is_left: u8,
    /// The interface that the packet came by; says nothing of one that leaves.
    pub ifindex: u32,
    /// Whether the packet has begun a flow, or is of one that has just begun; 0 = no.
    pub is_begun: u8,
    /// Whether the packet that `ingress` meets next is back from its errand; 0 = no.
    pub is_back: u8,
    /// The same of the one that is under way.
    pub was_back: u8,
    /// What `ingress` leaves to be done: one of [`crate::tunnel::errand`].
    pub errand: u8,
    /// How long a packet may be that is too long for a tunnel.
    pub mtu: u16,
    /// The Service that a packet of no flow is for.
    pub destination: Destination,
    /// A flow that another node serves, as found or as being made.
    pub tunnelled: Tunnelled,
    /// What a router has said of the way there, as found or as being kept.
    pub path: PathMtu,
    /// Where a client's packet goes.
    pub target: Target,
    /// What the packet changes in the flow.
    pub touch: Touch,
    /// The way that the host's routing table shows.
    pub passage: Passage,
    /// The packet as it came; of an ICMP error, what it quotes.
    pub datagram: Datagram<A>,
    /// The rest of an ICMP error.
    pub message: Message<A>,
    /// The packet's addresses and ports as it shall leave.
    pub to: Tuple<A>,
    /// Key of a reverse entry: what the backend sends.
    pub reverse_key: Tuple<A>,
    /// Key of the flow that a reverse entry belongs to: what its client sends.
    pub owner: Tuple<A>,
    /// Key of a masquerade's other half: what the backend sends to this node.
    pub answer: Tuple<A>,
    /// Key of an affinity.
    pub affinity_key: Tuple<A>,
    /// A flow's or affinity's entry in the queue: the new one's, or what the sweep looks after.
    pub expiry: Expiry<A>,
    /// Key of what a first fragment has taught.
    pub fragment_key: FragmentKey<A>,
    /// What the client dials; last, so that all other keys begin at a whole word.
    pub frontend: FrontendKey<A>,
}

/// A frame for each family; a packet uses one of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub struct Frames {
    /// For IPv4, whose addresses are the narrow ones.
    pub narrow: Frame<<V4 as Family>::Address>,
    /// For IPv6.
    pub wide: Frame<<V6 as Family>::Address>,
    /// For a question to the DNS Service, of either family.
    pub names: Scratch,
}

impl Frames {
    /// Frames to begin with; what they hold says nothing.
    pub fn new() -> Self {
        Self::new_zeroed()
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}
