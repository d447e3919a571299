// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel against server: queries of every kind, most of them bent in some way. Whatever the kernel
//! answers is what the server would answer, to the byte; what it leaves to the server is as it was.

use crate::play::{Cast, cast};
use anyhow::{Context as _, Result, ensure};
use lb_common::{frame::Frames, packet::Buffer, pipeline, verdict::Reason};
use lb_userspace::{
    datapath::OBJECT,
    dns::{
        answer::{Reply, Transport, reply},
        zone::Zone,
    },
};
use std::collections::BTreeMap;
use tests::{
    chance::Chance,
    figures,
    kernel::{Hook, Kernel, Sizes},
    names::{Query, agreement::Both, answer_at, zone},
    packet::udp,
    tables::Memory,
};

/// Queries as programs have sent them, and as nobody should: one a line, in hexadecimal digits.
const CORPUS: &str = include_str!("corpus.txt");

/// Names with every fate, and what stands in front of and behind them.
const NAMES: &[&str] = &[
    "shop.default",
    "shop.default",
    "shop.default",
    "lonely.default",
    "lonely.default",
    "db.default",
    "docs.default",
    "asleep.default",
    "db-0.db.default",
    "_http._tcp.shop.default",
    "_tcp.shop.default",
    "nobody.default",
    "shop.nowhere",
    "www.example.com.default",
    "default",
    "shop",
    "",
    "dns",
    "ns.dns",
    "hostmaster",
    "dns-version",
    "kubernetes.default.svc.cluster.local.default",
];
const BEHIND: &[&str] = &[
    ".svc.cluster.local",
    ".svc.cluster.local",
    ".svc.cluster.local",
    ".svc.cluster.local",
    ".cluster.local",
    ".cluster.locale",
    ".local",
    "",
];
const TYPES: &[u16] = &[
    1, 1, 1, 28, 28, 5, 6, 12, 16, 33, 65, 255, 252, 41, 0, 24, 250, 256,
];

#[test]
fn the_kernel_answers_what_the_server_would() {
    figures::check("names", |run| {
        let mut arena = Arena::new()?;
        for (number, line) in (1..).zip(CORPUS.lines().filter(|line| !line.starts_with('#'))) {
            let query = unhex(line).with_context(|| format!("line {number} of the corpus"))?;
            arena
                .ask(&query)
                .with_context(|| format!("line {number} of the corpus"))?;
        }
        let corpus: Vec<_> = CORPUS.lines().filter_map(|line| unhex(line).ok()).collect();
        for number in 0..run.size {
            let mut chance = Chance::new(run.seed, number);
            let query = query(&mut chance, &corpus);
            let asked = arena.ask(&query);
            asked.with_context(|| format!("seed {}, query {number}: {query:02x?}", run.seed))?;
        }
        arena.is_broad(run.size)?;
        Ok(arena.report())
    });
}

/// The zone, what the kernel knows of it, and the programs.
struct Arena {
    both: Both,
    zone: Zone,
    memory: Memory,
    kernel: Kernel,
    cast: [Cast; 2],
    ends: BTreeMap<Reason, u64>,
}

impl Arena {
    fn new() -> Result<Self> {
        let zone = zone();
        let cast = [cast(4), cast(6)];
        let mut memory = Memory::default();
        for cast in cast {
            answer_at(&mut memory, &zone, cast.service);
        }
        let mut kernel = Kernel::load(OBJECT, Sizes::default())?;
        kernel.copy_from(&memory)?;
        Ok(Self {
            both: Both::default(),
            zone,
            memory,
            kernel,
            cast,
            ends: BTreeMap::new(),
        })
    }

    /// Asks the kernel's program, the same code on the host, and the server.
    fn ask(&mut self, query: &[u8]) -> Result<()> {
        self.both.ask(query)?;
        let cast = self.cast[query.len() % 2];
        let question = udp(cast.client, cast.service).payload(query);
        let frame = question.bytes();
        let mut room = frame.clone();
        room.resize(frame.len() + 256, 0);
        let mut packet = Buffer::new(&mut room, frame.len());
        let mut frames = Frames::new();
        let end = pipeline::ingress_and_more(&mut packet, &mut self.memory, &mut frames);
        let ran = self.kernel.programs.run(Hook::Ingress, &frame)?;
        let ran = ran.context("the kernel takes every datagram")?;
        ensure!(
            ran.frame == packet.bytes(),
            "{end:?} on the host: {:02x?}\nin the kernel: {:02x?}",
            packet.bytes(),
            ran.frame
        );
        let expected = match (end, reply(&self.zone, query, Transport::Udp, true)) {
            (Reason::NotService, _) => frame,
            (_, Reply::Send(answer)) => question.datagram_back(&answer),
            (end, other) => anyhow::bail!("{end:?}, and the server has {other:?}"),
        };
        let is_answer = end != Reason::NotService;
        ensure!(
            ran.verdict == if is_answer { 7 } else { -1 },
            "{}",
            ran.verdict
        );
        ensure!(
            ran.frame == expected,
            "{end:?}: {:02x?}\nserver: {expected:02x?}",
            ran.frame
        );
        *self.ends.entry(end).or_default() += 1;
        Ok(())
    }

    fn report(&self) -> Vec<(&'static str, serde_json::Value)> {
        let ends = self.ends.iter();
        ends.map(|(end, count)| (end.label(), (*count).into()))
            .collect()
    }

    /// Whether every end was met often.
    fn is_broad(&self, size: u64) -> Result<()> {
        for end in [
            Reason::NameFound,
            Reason::NameEmpty,
            Reason::NameUnknown,
            Reason::NotService,
        ] {
            let count = self.ends.get(&end).copied().unwrap_or(0);
            ensure!(count > size / 50, "{end:?} {count} times of {size}");
        }
        Ok(())
    }
}

/// A query by chance: of a name that may be there, or one of the corpus, and bent, or not.
fn query(chance: &mut Chance, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut query = if chance.one_in(4) {
        chance.pick(corpus).clone()
    } else {
        fresh(chance)
    };
    if chance.one_in(3) {
        for _ in 0..=chance.below(3) {
            bend(&mut query, chance);
        }
    }
    query
}

fn fresh(chance: &mut Chance) -> Vec<u8> {
    let mut name = [*chance.pick(NAMES), *chance.pick(BEHIND)].concat();
    if chance.one_in(8) {
        let length = 1 + chance.below(63);
        name = format!("{}.{name}", "x".repeat(length));
    }
    if chance.one_in(16) {
        name = format!("{}{name}", "a.".repeat(chance.below(60)));
    }
    if chance.one_in(3) {
        let letters = name.chars().map(|letter| {
            if chance.one_in(2) {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        });
        name = letters.collect();
    }
    let mut query = Query::of(&name, *chance.pick(TYPES)).id(chance.half());
    if chance.one_in(2) {
        query = query.opt(chance.half());
        if chance.one_in(2) {
            query = query.cookie();
        }
    }
    if chance.one_in(4) {
        query = query.flags(*chance.pick(&[0, 0x0010, 0x0020, 0x0130, 0x0120, 0x8100, 0x0102]));
    }
    query.bytes()
}

/// One byte more, less or other, or an end that comes too early.
fn bend(query: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.below(query.len());
    match chance.below(5) {
        0 => query.insert(at, chance.byte()),
        1 if !query.is_empty() => {
            query.remove(at);
        }
        2 => query.truncate(at),
        3 => query[at..].reverse(),
        _ => {
            if let Some(byte) = query.get_mut(at) {
                *byte = match chance.below(3) {
                    0 => chance.byte(),
                    1 => *byte ^ (1 << chance.below(8)),
                    _ => byte.wrapping_add(1),
                };
            }
        }
    }
}

fn unhex(line: &str) -> Result<Vec<u8>> {
    let digits = line.trim().as_bytes();
    ensure!(
        digits.len().is_multiple_of(2) && !digits.is_empty(),
        "no bytes: {line}"
    );
    let bytes = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)?;
        Ok(u8::from_str_radix(pair, 16)?)
    });
    bytes.collect()
}
