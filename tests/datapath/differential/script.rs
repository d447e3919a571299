// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who sends what: a few conversations, each between a client, a Service and whatever backend the
//! packets really reached.

use super::{
    bend::{Bend, bend, damaged},
    world::{services, unallocated},
};
use crate::{
    play::{Cast, ends_of},
    twin::Outcome,
};
use lb_common::{
    conntrack::NEAR,
    verdict::Reason,
    wire::protocol::{SCTP, TCP, UDP},
};
use std::{collections::VecDeque, net::SocketAddr};
use tests::{
    chance::Chance,
    kernel::Hook,
    packet::{Frame, answers::echo_request, flag, icmp, other, sctp, tcp, udp},
};

/// One packet, and where it belongs.
pub(super) struct Packet {
    /// Where it is sent through.
    pub(super) hook: Hook,
    /// The frame.
    pub(super) bytes: Vec<u8>,
    /// How it differs from what a host would have sent.
    pub(super) bend: Bend,
    conversation: usize,
}

/// The conversations of a sequence.
pub(super) struct Script {
    /// Everybody speaks in turn, whole and soon, so that connections live to their end.
    calm: bool,
    conversations: Vec<Conversation>,
    /// Fragments that are still to be sent.
    pieces: VecDeque<Packet>,
}

/// What asks for an echo, of either family: it has no ports.
const ICMP: u8 = 1;

struct Conversation {
    protocol: u8,
    client: SocketAddr,
    service: SocketAddr,
    /// The client as the backend sees it, and the backend.
    reached: Option<[SocketAddr; 2]>,
    stranger: SocketAddr,
    /// A router on the way.
    other_host: SocketAddr,
    /// The node's end towards pods elsewhere, where clients are outside.
    node: Option<SocketAddr>,
    /// A Service's.
    forged: SocketAddr,
    /// How far the connection has come in [`LIFE`].
    step: usize,
    /// Sequence numbers of what client and pod send next.
    next: [u32; 2],
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Client,
    Pod,
}

/// A TCP connection from its first segment to its last.
const LIFE: [(Speaker, u8); 10] = [
    (Speaker::Client, flag::SYN),
    (Speaker::Pod, flag::SYN | flag::ACK),
    (Speaker::Client, flag::ACK),
    (Speaker::Client, flag::PSH | flag::ACK),
    (Speaker::Pod, flag::PSH | flag::ACK),
    (Speaker::Pod, flag::FIN | flag::ACK),
    (Speaker::Client, flag::ACK),
    (Speaker::Client, flag::FIN | flag::ACK),
    (Speaker::Pod, flag::ACK),
    (Speaker::Client, flag::ACK),
];

/// Flags that hosts send out of turn.
const FLAGS: [u8; 6] = [
    flag::SYN,
    flag::ACK,
    flag::SYN | flag::ACK,
    flag::FIN | flag::ACK,
    flag::RST,
    flag::RST | flag::ACK,
];

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// How long nothing happens before a packet.
fn pause_ns(calm: bool, chance: &mut Chance) -> u64 {
    match chance.below(if calm { 20 } else { 32 }) {
        0..12 => 0,
        12..18 => chance.between(0..1_000) * MILLISECOND,
        18..24 => chance.between(1..30) * SECOND,
        // The time-outs, and one second to either side of them.
        24..28 => (*chance.pick(&[30, 60, 90, 120, 180, 240]) + chance.between(0..3) - 1) * SECOND,
        28 | 29 => chance.between(1..7_200) * SECOND,
        _ => chance.between(23..26) * 3_600 * SECOND,
    }
}

impl Script {
    /// One to five conversations; three quarters of them share client and port, so that they
    /// meet at backends.
    pub(super) fn new(cast: &Cast, node: Option<SocketAddr>, chance: &mut Chance) -> Self {
        let conversations = (0..=chance.below(5)).map(|_| {
            let port = cast.client.port() + u16::from(chance.one_in(4));
            let [all, first, without] = services(cast);
            Conversation {
                protocol: *chance.pick(&[TCP, TCP, TCP, UDP, UDP, SCTP, ICMP]),
                client: if chance.one_in(5) {
                    // It may be given itself.
                    SocketAddr::new(cast.pods[0].ip(), port)
                } else {
                    SocketAddr::new(cast.client.ip(), port)
                },
                service: match chance.below(20) {
                    0 => without,
                    1 => cast.stranger,
                    // A port that the Service does not have.
                    3 => SocketAddr::new(first.ip(), 9),
                    5 => unallocated(cast),
                    // A pod itself.
                    7 => cast.pods[0],
                    number if number % 2 == 0 => all,
                    _ => first,
                },
                reached: None,
                stranger: cast.pods[2],
                other_host: cast.stranger,
                node,
                forged: first,
                step: 0,
                next: [any_number(chance), any_number(chance)],
            }
        });
        Self {
            conversations: conversations.collect(),
            calm: chance.one_in(2),
            pieces: VecDeque::new(),
        }
    }

    /// How long nothing happens before the next packet.
    pub(super) fn pause_ns(&self, chance: &mut Chance) -> u64 {
        pause_ns(self.calm, chance)
    }

    /// The next packet of any of them.
    pub(super) fn next(&mut self, chance: &mut Chance) -> Packet {
        if !chance.one_in(6)
            && let Some(piece) = self.pieces.pop_front()
        {
            return piece;
        }
        let index = chance.below(self.conversations.len());
        let conversation = &mut self.conversations[index];
        // Packets of whoever dials itself, or is shown as the node, are met twice.
        let again = conversation.is_met_twice() && chance.one_in(2);
        let (speaker, frame) = conversation.speak(self.calm, again, chance);
        // A few packets go through the hook of the other direction.
        let astray = again || (!self.calm && chance.one_in(24));
        let hook = match (speaker, astray) {
            (Speaker::Client, false) | (Speaker::Pod, true) => Hook::Ingress,
            (Speaker::Pod, false) | (Speaker::Client, true) => Hook::Egress,
        };
        if chance.one_in(8) {
            let pieces = in_pieces(&frame, chance).into_iter();
            self.pieces.extend(pieces.map(|bytes| Packet {
                hook,
                bytes,
                bend: Bend::Fragment,
                conversation: index,
            }));
        }
        let (bytes, bend) = if self.calm {
            (frame.bytes(), Bend::Straight)
        } else {
            bend(frame, chance)
        };
        Packet {
            hook,
            bytes,
            bend,
            conversation: index,
        }
    }

    /// Remembers which backend a client's packet has reached.
    pub(super) fn learn(&mut self, packet: &Packet, outcome: &Outcome) {
        if matches!(outcome.reason, Some(Reason::Forwarded | Reason::Unpinned))
            && packet.bend != Bend::Damaged
            && let Some(ends) = ends_of(&outcome.frame)
        {
            self.conversations[packet.conversation].reached = Some(ends);
        }
    }
}

/// A sequence number; many are about to begin anew.
fn any_number(chance: &mut Chance) -> u32 {
    let number = u32::from(chance.half());
    if chance.one_in(2) {
        number.wrapping_sub(0x8000)
    } else {
        number << 16 | u32::from(chance.half())
    }
}

/// How far a number is from the right one: mostly not at all, or as far as counts.
fn off(chance: &mut Chance) -> u32 {
    match chance.below(8) {
        0..3 => 0,
        3 => u32::from(chance.byte()),
        4 => u32::from(chance.byte()).wrapping_neg(),
        5 => NEAR + u32::from(chance.one_in(2)),
        6 => (NEAR + u32::from(chance.one_in(2))).wrapping_neg(),
        _ => any_number(chance),
    }
}

/// The fragments of a datagram, with what may become of them on their way.
fn in_pieces(frame: &Frame, chance: &mut Chance) -> Vec<Vec<u8>> {
    let size = 8 * (chance.below(4) + 1);
    let mut pieces = frame.clone().identified(chance.half() % 3).pieces(size);
    if chance.one_in(4) {
        chance.shuffle(&mut pieces);
    }
    if chance.one_in(4) {
        let lost = chance.below(pieces.len());
        pieces.remove(lost);
    }
    let mut sent = Vec::new();
    for piece in pieces {
        let bytes = piece.bytes();
        if chance.one_in(8) {
            sent.push(bytes.clone());
        }
        sent.push(if chance.one_in(8) {
            damaged(bytes, chance)
        } else {
            bytes
        });
    }
    sent
}

impl Conversation {
    fn is_met_twice(&self) -> bool {
        let is_hairpin = |[_, pod]: [SocketAddr; 2]| pod.ip() == self.client.ip();
        self.node.is_some() || self.reached.is_some_and(is_hairpin)
    }

    /// What is said next; `again`: as it comes to the other hook, where it is meant for oneself.
    fn speak(&mut self, calm: bool, again: bool, chance: &mut Chance) -> (Speaker, Frame) {
        // Somebody else speaks as well, where all is calm too.
        let in_turn = !chance.one_in(if calm { 8 } else { 4 });
        let (speaker, flags) = if in_turn {
            let turn = LIFE[self.step];
            if self.step == 0 {
                self.next = [any_number(chance), any_number(chance)];
            }
            self.step = (self.step + 1) % LIFE.len();
            turn
        } else {
            let speaker = if chance.one_in(2) {
                Speaker::Client
            } else {
                Speaker::Pod
            };
            let flags = *chance.pick(&FLAGS);
            (
                speaker,
                if chance.one_in(8) {
                    chance.byte()
                } else {
                    flags
                },
            )
        };
        let (source, destination) = match (speaker, self.reached) {
            (Speaker::Client, Some(reached)) if again => reached.into(),
            // Nobody outside has such an address.
            (Speaker::Client, _) if self.node.is_some() && chance.one_in(16) => {
                (self.forged, self.service)
            }
            (Speaker::Client, _) => (self.client, self.service),
            (Speaker::Pod, Some([seen, pod])) if again => {
                let itself = SocketAddr::new(self.service.ip(), seen.port());
                (pod, self.node.unwrap_or(itself))
            }
            (Speaker::Pod, Some([seen, pod])) => (pod, seen),
            (Speaker::Pod, None) => (self.stranger, self.client),
        };
        let payload: Vec<u8> = (0..chance.below(40)).map(|_| chance.byte()).collect();
        let frame = match self.protocol {
            TCP => {
                let [mut sequence, mut acknowledgement] = self.next;
                if speaker == Speaker::Pod {
                    std::mem::swap(&mut sequence, &mut acknowledgement);
                }
                if in_turn {
                    self.sends(speaker, flags, &payload);
                }
                if !in_turn || chance.one_in(8) {
                    sequence = sequence.wrapping_add(off(chance));
                    acknowledgement = acknowledgement.wrapping_add(off(chance));
                }
                let segment = tcp(source, destination).flags(flags).payload(&payload);
                segment.numbers(sequence, acknowledgement)
            }
            UDP => udp(source, destination).payload(&payload),
            SCTP => sctp(source, destination).payload(&payload),
            _ => echo_request(source.ip(), destination.ip(), &payload),
        };
        if !calm && chance.one_in(6) {
            return (speaker, self.complain(speaker, chance));
        }
        (speaker, frame)
    }

    /// A speaker has sent a segment.
    fn sends(&mut self, speaker: Speaker, flags: u8, payload: &[u8]) {
        let length = payload.len() + usize::from(flags & (flag::SYN | flag::FIN) != 0);
        let [client, pod] = &mut self.next;
        let next = match speaker {
            Speaker::Client => client,
            Speaker::Pod => pod,
        };
        *next = next.wrapping_add(u32::try_from(length).expect("payloads are short"));
    }

    /// An ICMP error from a speaker's side, about what was sent to it, mostly.
    fn complain(&self, speaker: Speaker, chance: &mut Chance) -> Frame {
        let [seen, pod] = self.reached.unwrap_or([self.client, self.stranger]);
        let (sender, receiver) = match speaker {
            Speaker::Client => (self.service, self.client),
            Speaker::Pod => (seen, pod),
        };
        let quoted = match (self.protocol, chance.one_in(8)) {
            (TCP, false) => tcp(sender, receiver).ack(),
            (_, false) => udp(sender, receiver),
            (_, true) => other(chance.byte(), sender.ip(), receiver.ip()),
        };
        let payload: Vec<u8> = (0..chance.below(40)).map(|_| chance.byte()).collect();
        // What it is about may be bent in its own ways.
        let (quoted, _) = bend(quoted.payload(&payload), chance);
        let from = if chance.one_in(3) {
            self.other_host
        } else {
            receiver
        };
        let to = if chance.one_in(12) { receiver } else { sender };
        let kinds: [u8; 5] = if sender.is_ipv4() {
            [3, 3, 11, 12, chance.byte()]
        } else {
            [1, 2, 3, 4, chance.byte()]
        };
        let kind = [*chance.pick(&kinds), chance.byte() % 5];
        let whole = quoted.len().saturating_sub(14);
        let length = match chance.below(4) {
            0 => chance.below(whole + 1),
            1 => 28 + if sender.is_ipv4() { 0 } else { 20 },
            _ => whole,
        };
        let quotation = quoted.get(14..).unwrap_or_default();
        icmp(kind, from.ip(), to.ip()).payload(&quotation[..length.min(whole)])
    }
}
