// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which packets pass the stack by, on a host of ours.

use super::{Arrival, FRESH_NS, Routed, find, is_on, place};
use crate::family::{Own, V4, V6};
use crate::packet::{OutOfPacket, Packet};
use crate::parse::{Datagram, parse};
use crate::tables::{Environment, Word};
use crate::wire::{Node, Passage, Route, Tuple};
use core::cell::Cell;
use core::ops::Deref;
use zerocopy::FromZeros as _;

const CLIENT: [u8; 4] = [10, 1, 0, 2];
const POD: [u8; 4] = [10, 2, 0, 3];
const CLIENTS_LINK: u32 = 7;
const PODS_LINK: u32 = 8;
const HOPS_AT: usize = 14 + 8;

/// A segment of TCP without payload, and what the host knows of it.
#[derive(Clone)]
struct Sample {
    bytes: [u8; 54],
    arrival: Option<Arrival>,
    /// Where the routes to both ends lead, and what of.
    to_client: (Routed, u32),
    to_pod: (Routed, u32),
    mtu: u16,
    /// Questions to the routing table.
    asked: Cell<u32>,
}

impl Sample {
    fn new() -> Self {
        let mut bytes = [0; 54];
        bytes[12..26].copy_from_slice(&[8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        bytes[26..30].copy_from_slice(&CLIENT);
        bytes[30..34].copy_from_slice(&POD);
        bytes[34..38].copy_from_slice(&[0x9c, 0x40, 0, 80]);
        bytes[46] = 0x50;
        Self {
            bytes,
            arrival: Some(Arrival {
                ifindex: CLIENTS_LINK,
                length: 54,
                segment: 0,
            }),
            to_client: (Routed::Onwards, CLIENTS_LINK),
            to_pod: (Routed::Onwards, PODS_LINK),
            mtu: 1_500,
            asked: Cell::new(0),
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut sample = Self::new();
        change(&mut sample);
        sample
    }

    fn arrived(change: impl FnOnce(&mut Arrival)) -> Self {
        Self::with(|sample| change(sample.arrival.as_mut().expect("it has arrived")))
    }

    /// Hops that are left, if it passes the stack by.
    fn found(&self, host: &mut Host) -> Option<u8> {
        let mut datagram = Datagram::<[u8; 4]>::new_zeroed();
        parse::<V4, _>(self, &mut datagram).expect("it is one of ours");
        let mut passage = Passage::new_zeroed();
        let tuple = datagram.tuple;
        let found = find::<V4, _, _>(self, host, &datagram, &tuple, &mut passage);
        if found.is_some() {
            let answered = passage.answered;
            assert_eq!(
                (answered.ifindex, passage.way),
                (PODS_LINK, super::Way::Pod.number())
            );
        }
        found
    }
}

impl Packet for Sample {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.bytes[..].load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.bytes[..].store(at, bytes)
    }

    fn blank(&mut self, _length: usize) -> Result<(), OutOfPacket> {
        Err(OutOfPacket)
    }

    fn arrival(&self, _end: usize) -> Option<Arrival> {
        self.arrival
    }

    fn route(&self, question: &mut Route) -> Routed {
        self.asked.set(self.asked.get() + 1);
        let to = if question.destination.starts_with(&CLIENT) {
            self.to_client
        } else {
            self.to_pod
        };
        question.ifindex = to.1;
        let fits = question.length <= self.mtu;
        question.length = self.mtu;
        if fits { to.0 } else { Routed::Nowhere }
    }
}

/// A host with one place to remember in.
struct Host {
    now_ns: u64,
    node: Node,
    kept: Option<Passage>,
}

impl Host {
    fn new() -> Self {
        Self {
            now_ns: 1_000,
            node: Node::default(),
            kept: None,
        }
    }
}

struct Copy<T>(T);

impl<T> Deref for Copy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Environment for Host {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn node(&self) -> impl Deref<Target = Node> + use<> {
        Copy(self.node)
    }

    fn is_pod_link(&self, ifindex: u32) -> bool {
        ifindex == PODS_LINK
    }

    fn passage(&self, _place: u32) -> Option<impl Deref<Target = Passage> + use<>> {
        self.kept.map(Copy)
    }

    fn remember(&mut self, _place: u32, passage: &Passage) {
        self.kept = Some(*passage);
    }

    fn account(&self, _word: Word) -> u64 {
        0
    }

    fn settle(&mut self, _word: Word, _from: u64, _to: u64) -> bool {
        false
    }
}

#[test]
fn a_permission_ends_by_itself() {
    for (until_ns, is_permitted) in [(0, false), (1_000, false), (1_001, true), (u64::MAX, true)] {
        let mut host = Host::new();
        host.node.direct_until_ns = until_ns;
        assert_eq!(is_on(&host), is_permitted, "until {until_ns}");
    }
}

#[test]
fn whatever_is_in_doubt_is_the_stacks() {
    assert_eq!(Sample::new().found(&mut Host::new()), Some(64));
    for (why, sample) in [
        ("for another station", Sample::with(|it| it.arrival = None)),
        ("no hops left", Sample::with(|it| it.bytes[HOPS_AT] = 1)),
        (
            "from nobody",
            Sample::with(|it| it.bytes[26..30].copy_from_slice(&[255; 4])),
        ),
        ("a first fragment", Sample::with(|it| it.bytes[20] = 0x20)),
        ("cut short", Sample::arrived(|it| it.length = 53)),
        (
            "a client that is elsewhere",
            Sample::with(|it| it.to_client.1 = PODS_LINK),
        ),
        (
            "a client that is nowhere",
            Sample::with(|it| it.to_client.0 = Routed::Nowhere),
        ),
        ("no route", Sample::with(|it| it.to_pod.0 = Routed::Nowhere)),
        (
            "a neighbour that is not known",
            Sample::with(|it| it.to_pod.0 = Routed::Unresolved),
        ),
        (
            "back as it came",
            Sample::with(|it| it.to_pod.1 = CLIENTS_LINK),
        ),
        ("too long", Sample::with(|it| it.mtu = 39)),
        (
            "segments too long",
            Sample::with(|it| {
                it.mtu = 1_500;
                it.arrival.as_mut().expect("it has arrived").segment = 1_461;
            }),
        ),
    ] {
        let mut host = Host::new();
        assert_eq!(sample.found(&mut host), None, "{why}");
        assert_eq!(host.kept, None, "{why}: nothing to remember");
    }
    let neighbour = Sample::with(|it| it.to_client.0 = Routed::Unresolved);
    assert_eq!(
        neighbour.found(&mut Host::new()),
        Some(64),
        "a silent client"
    );
    let segments = Sample::arrived(|it| (it.length, it.segment) = (60_000, 1_460));
    assert_eq!(segments.found(&mut Host::new()), Some(64), "segments fit");
}

#[test]
fn the_routing_table_is_believed_for_a_moment_and_for_the_same_question() {
    let mut host = Host::new();
    let ask = |host: &mut Host, sample: Sample| {
        assert_eq!(sample.found(host), Some(64));
        sample.asked.get()
    };
    assert_eq!(ask(&mut host, Sample::new()), 2);
    let kept = host.kept;
    host.now_ns += FRESH_NS - 1;
    assert_eq!(ask(&mut host, Sample::new()), 0, "at once");
    let longest = Sample::arrived(|it| it.length = 14 + 1_500);
    assert_eq!(ask(&mut host, longest), 0, "as long as it may be");
    let another = Sample::with(|it| it.bytes[35] = 0x41);
    assert_eq!(ask(&mut host, another), 0, "another port");
    let congested = Sample::with(|it| it.bytes[15] = 3);
    assert_eq!(ask(&mut host, congested), 0, "congested");
    for (what, sample) in [
        (
            "too long for what was answered",
            Sample::with(|it| {
                it.arrival.as_mut().expect("it has arrived").length = 14 + 1_501;
                it.mtu = 9_000;
            }),
        ),
        ("of another kind", Sample::with(|it| it.bytes[15] = 0x10)),
        (
            "by another link",
            Sample::with(|it| {
                it.arrival.as_mut().expect("it has arrived").ifindex = 9;
                it.to_client.1 = 9;
            }),
        ),
    ] {
        assert_eq!(ask(&mut host, sample), 2, "{what}");
        assert_eq!(host.kept, kept, "{what}: its place is another's");
    }
    host.now_ns += 1;
    assert_eq!(ask(&mut host, Sample::new()), 2, "later");
}

/// Of 1,024 places, 200 numbers take 182 by chance.
#[test]
fn the_pods_of_a_network_have_places_of_their_own() {
    fn taken<F: Own>(address: impl Fn(u8) -> F::Address, turned: bool) -> usize {
        let mut is_taken = [false; 1024];
        for last in 1..=200 {
            let mut ends = [address(0), address(last)];
            if turned {
                ends.reverse();
            }
            let [source, destination] = ends;
            let mut tuple = Tuple::new_zeroed();
            (tuple.source, tuple.destination, tuple.protocol) = (source, destination, 6);
            let there = usize::try_from(place::<F>(&tuple, [0; 4])).unwrap();
            is_taken[there] = true;
        }
        is_taken.into_iter().filter(|is_taken| *is_taken).count()
    }
    for turned in [false, true] {
        let narrow = taken::<V4>(|last| [10, 2, 0, last], turned);
        assert!(narrow > 160, "{narrow} places");
        let wide = |last| [0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let wide = taken::<V6>(wide, turned);
        assert!(wide > 160, "{wide} places");
    }
}
