// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every possible end of a packet, numbered for good.

use crate::packet::OutOfPacket;
use crate::tables::Torn;

/// What the hook does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it on: to programs that are not ours, then to the stack.
    Pass,
    /// Drop it.
    Drop,
    /// Send what it has become back through the interface that it came from.
    Answer,
    /// Nothing more: it has been handed to its next hop.
    Deliver,
}

/// One end: number, name, verdict, label of its counter, what it means.
macro_rules! reasons {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $number:literal, $verdict:ident, $label:literal;
    )+) => {
        /// Why a packet ended as it did. Each run of a program ends in exactly one of these.
        ///
        /// Numbers are indices of counters and labels of metrics: never reused, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl Reason {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What the hook does.
            #[inline(always)]
            pub const fn verdict(self) -> Verdict {
                match self {
                    $(Self::$name => Verdict::$verdict,)+
                }
            }

            /// Whether it points to something that is wrong with this node, rather than with the
            /// packet: worth a line in the log.
            #[inline(always)]
            pub const fn is_alarming(self) -> bool {
                matches!(
                    self,
                    Self::FlowTableFull
                        | Self::NoPort
                        | Self::NoSource
                        | Self::Torn
                        | Self::StoreFailed
                        | Self::Unpinned
                        | Self::ForeignUnknown
                        | Self::NameUnanswered
                        | Self::Untunnelled
                )
            }

            /// The reason of a number.
            #[inline(always)]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The number, as counters are indexed by it.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The metric label: lower case with underscores.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }

            /// What it means, in a sentence or two.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

reasons! {
    /// Neither IPv4 nor IPv6.
    NotIp = 1, Pass, "not_ip";
    /// A VLAN tag: the packet belongs to another interface on top of this one.
    Tagged = 2, Pass, "tagged";
    /// The headers are cut short or contradict each other; the host's stack decides.
    Malformed = 3, Pass, "malformed";
    /// A later fragment of a datagram that we know nothing of.
    Fragment = 4, Pass, "fragment";
    /// None of TCP, UDP and SCTP, nor an ICMP error.
    OtherProtocol = 5, Pass, "other_protocol";
    /// IPv6 extension headers that we do not look behind.
    Extension = 6, Pass, "extension";
    /// The destination is no Service.
    NotService = 7, Pass, "not_service";
    /// The source is no backend of a flow that we translated.
    NotReply = 8, Pass, "not_reply";
    /// Translated towards a backend.
    Forwarded = 9, Pass, "forwarded";
    /// Translated back: the client sees the Service.
    Replied = 10, Pass, "replied";
    /// The Service has no backend that may take a new flow.
    NoBackend = 11, Drop, "no_backend";
    /// TCP in the middle of a flow that is not known, and the client is not told.
    NoFlow = 12, Drop, "no_flow";
    /// The flow's backend is gone, and so is the Service that would give another.
    BackendGone = 13, Drop, "backend_gone";
    /// No room for another flow.
    FlowTableFull = 14, Drop, "flow_table_full";
    /// Every backend and port tried is taken by another flow of this client.
    NoPort = 15, Drop, "no_port";
    /// Another processor was opening the same flow; the client's next try finds it.
    Raced = 16, Drop, "raced";
    /// A table's value was overwritten while it was read, twice in a row.
    Torn = 17, Drop, "torn";
    /// The kernel refused to change the packet.
    StoreFailed = 18, Drop, "store_failed";
    /// Translated towards a backend that the client could not be pinned to: no room for another
    /// client's affinity.
    Unpinned = 19, Pass, "unpinned";
    /// The flow is netfilter's, from before we took over: left to the host's stack.
    Foreign = 20, Pass, "foreign";
    /// Likewise, but there is no room to remember it.
    ForeignUnknown = 21, Pass, "foreign_unknown";
    /// The Service has no endpoint anywhere: the client is told, by a reset or by an ICMP error.
    Refused = 24, Answer, "refused";
    /// The Service has endpoints, but none that clients of this node may use.
    Elsewhere = 25, Drop, "elsewhere";
    /// The address is a Service's, the port or protocol is not, and the client is not told.
    UnknownPort = 26, Drop, "unknown_port";
    /// The address is a Service's, the port or protocol is not: the client is told.
    PortRefused = 27, Answer, "port_refused";
    /// TCP in the middle of a flow that is not known: the client is told by a reset.
    Reset = 28, Answer, "flow_reset";
    /// The client would be told, but this node has answered as often as it may.
    AnswerLimit = 29, Drop, "answer_limit";
    /// The client would be told, but no answer may be made to such a packet: a reset, one whose
    /// source is no single host, or one that cannot be read.
    Unanswerable = 30, Drop, "unanswerable";
    /// The address is in the range that Services get theirs from, and no Service has it.
    Unallocated = 31, Drop, "unallocated";
    /// An echo request for a Service's address: this node has answered.
    Echoed = 32, Answer, "echoed";
    /// An echo request for a Service's address, and this node is not to answer.
    Unechoed = 33, Drop, "unechoed";
    /// An ICMP error about what a client was sent: translated towards the backend that has sent it.
    RelatedForwarded = 34, Pass, "related_forwarded";
    /// An ICMP error about what a client has sent: the client sees its own packet to the Service.
    RelatedReplied = 35, Pass, "related_replied";
    /// An ICMP error about no flow of ours.
    NotRelated = 36, Pass, "not_related";
    /// An ICMP error about a later fragment, which shows no ports and so no flow.
    RelatedFragment = 37, Pass, "related_fragment";
    /// A later fragment, sent on to where the first one went.
    FragmentForwarded = 38, Pass, "fragment_forwarded";
    /// A later fragment of a backend's answer: the client sees the Service.
    FragmentReplied = 39, Pass, "fragment_replied";
    /// A later fragment to a Service's address, or of a backend's to a client that it answers in
    /// fragments, of whose first nothing is known: it has not come yet, was dropped itself, or came
    /// too long ago.
    FragmentEarly = 40, Drop, "fragment_early";
    /// A first fragment to a Service's address that ends before its ports and flags do, or one of
    /// SCTP, whose checksum is not corrected without knowing how much follows.
    FragmentShort = 41, Drop, "fragment_short";
    /// An ICMP error to a Service's address, about no flow of ours.
    RelatedUnknown = 42, Drop, "related_unknown";
    /// A pod's segment to a client that dials it directly as well, from the port of a flow that is
    /// about to begin: none of that flow's.
    Beside = 43, Pass, "beside";
    /// A pod that dials a Service has been given itself: it sees the Service as who is calling.
    HairpinForwarded = 44, Pass, "hairpin_forwarded";
    /// Such a pod's answer, on its way back to it; where it leaves the node, it is a reply.
    HairpinReplied = 45, Pass, "hairpin_replied";
    /// A reset or a FIN whose sequence number is not its flow's: translated as all else, for the
    /// other end to judge, and the flow goes on.
    Unbelieved = 46, Pass, "unbelieved";
    /// A tag that names no VLAN, behind another tag: the kernel would take both off behind us and
    /// route what is in them, to a Service's address too. Nobody sends such.
    TaggedTwice = 47, Drop, "tagged_twice";
    /// Translated towards a backend, and handed to its next hop past the host's stack.
    ForwardedDirectly = 48, Deliver, "forwarded_directly";
    /// Translated back where it entered the node, and handed to its next hop past the host's stack.
    RepliedDirectly = 49, Deliver, "replied_directly";
    /// A question to the DNS Service for a Service's address, which this node has answered.
    NameFound = 50, Answer, "name_found";
    /// Likewise, for a name that is there and has nothing of the type that was asked for.
    NameEmpty = 51, Answer, "name_empty";
    /// Likewise, for a name of the cluster's domain that is not there.
    NameUnknown = 52, Answer, "name_unknown";
    /// A question to the DNS Service, and the program that answers such is not there.
    NameUnanswered = 53, Drop, "name_unanswered";
    /// A client's packet from one uplink to a backend behind another: it bears this node's address
    /// from here on, so that the answer comes back.
    Masqueraded = 54, Pass, "masqueraded";
    /// Such a backend's packet to this node's address: it goes on to the client.
    Unmasked = 55, Pass, "unmasked";
    /// Such a client cannot be shown to the backend as this node: every port tried is taken towards
    /// it, or the uplink has no address of the family.
    NoSource = 56, Drop, "no_source";
    /// The client is in none of the ranges from which a load balancer's address may be dialled.
    NotAdmitted = 57, Drop, "not_admitted";
    /// It has come in by an uplink, and its source is a Service's address or this node's own.
    Spoofed = 58, Drop, "spoofed";
    /// A client's packet from one uplink to a backend behind another, sent on where it came in, as
    /// this node's.
    Relayed = 59, Deliver, "relayed";
    /// Such a backend's answer, sent on to the client where it came in.
    RelayedBack = 60, Deliver, "relayed_back";
    /// Left to the next hook, as it came.
    Continued = 61, Pass, "continued";
    /// A client's packet from one uplink to a backend behind another, sent to that one's node
    /// through a tunnel: the backend sees the client, and answers it from there.
    Tunnelled = 62, Deliver, "tunnelled";
    /// The same, but it does not fit: the client is told what does.
    TooLong = 63, Answer, "too_long";
    /// In a tunnel, to a Service, and no node of the cluster has sent it; or it has come by a link
    /// that is no uplink, under a node's address.
    Stranger = 64, Drop, "stranger";
    /// Out of a tunnel, and for nothing that this node serves.
    Astray = 65, Drop, "astray";
    /// On its way into a tunnel or out of one, and the program that does that is not there.
    Untunnelled = 66, Drop, "untunnelled";
    /// From the middle of a connection by way of a tunnel, and no route leads to its backend: what
    /// is sent again may find one.
    NoWay = 67, Drop, "no_way";
    /// An ICMP error about a packet that this node has sent through a tunnel: the next ones on that
    /// way are to be shorter.
    Narrowed = 68, Pass, "narrowed";
}

/// Room for reasons in the counters of one hook.
pub const REASON_SLOTS: u32 = 128;

impl From<Torn> for Reason {
    #[inline(always)]
    fn from(Torn: Torn) -> Self {
        Self::Torn
    }
}

impl From<OutOfPacket> for Reason {
    #[inline(always)]
    fn from(OutOfPacket: OutOfPacket) -> Self {
        Self::StoreFailed
    }
}
