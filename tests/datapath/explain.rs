// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `weiche explain` says of random tuples is what the kernel's program does with their
//! packets, from the same maps; and asking changes none of them.

use crate::{
    differential::world::{World, services, unallocated},
    play::{Cast, cast, ends_of},
    twin::Twin,
};
use anyhow::{Context as _, Result, ensure};
use lb_common::{
    verdict::Reason,
    wire::protocol::{SCTP, TCP, UDP},
};
use lb_userspace::{
    datapath::OBJECT,
    explain::{Candidate, Explanation, Maps, Question, explain},
    maps::{
        Frontend,
        kernel::{KernelStore, KernelTables},
    },
};
use serde_json::json;
use std::{collections::BTreeMap, net::SocketAddr};
use tests::{
    chance::Chance,
    figures,
    kernel::{Hook, Sizes},
    netns::Lab,
    packet::{flag, tcp, udp},
};

/// Tables that one sequence fills, and a queue that it does not.
const SIZES: Sizes = Sizes {
    flows: 1,
    half_open: 1024,
    frontends: 16,
    affinity: 2,
    foreign: 2,
    masks: 2,
    backends: 32,
};

/// Tuples of one sequence at most; each may be followed by one packet that nobody asks about.
const SEQUENCE: u64 = 7;

/// What has to come out at times, so that all the rest means something.
const MET: &[Reason] = &[
    Reason::NotService,
    Reason::Forwarded,
    Reason::NoBackend,
    Reason::NoFlow,
    Reason::FlowTableFull,
    Reason::NoPort,
    Reason::Torn,
    Reason::Unpinned,
    Reason::Foreign,
    Reason::ForeignUnknown,
    Reason::Refused,
    Reason::UnknownPort,
    Reason::PortRefused,
    Reason::Reset,
    Reason::AnswerLimit,
    Reason::Unallocated,
];

#[test]
fn what_is_explained_is_what_happens() {
    figures::check("explained", |run| {
        let lab = Lab::new("test")?;
        let pins = lab.mount_bpffs()?;
        let mut twin = Twin::load_pinned(OBJECT, SIZES, &pins)?;
        let (store, tables) = (KernelStore::open(&pins)?, KernelTables::open(&pins)?);
        let maps = Maps {
            store: &store,
            tables: &tables,
        };
        let mut world = World::new(&mut twin)?;
        let mut tally = Tally::default();
        let mut sequence = 0;
        while tally.reasons.values().sum::<u64>() < run.size {
            sequence += 1;
            let mut chance = Chance::new(run.seed, sequence);
            play(&mut twin, &maps, &mut world, &mut chance, &mut tally)
                .with_context(|| format!("seed {}, sequence {sequence}", run.seed))?;
        }
        for reason in MET {
            let is_met = tally.reasons.contains_key(reason.label());
            ensure!(is_met, "{reason:?} was not met: {:?}", tally.reasons);
        }
        Ok(vec![
            ("differences", json!(0)),
            ("maps_changed", json!(0)),
            ("candidates", json!(tally.candidates)),
            ("candidates_left", json!(tally.left)),
            ("reasons", json!(tally.reasons)),
        ])
    });
}

#[derive(Default)]
struct Tally {
    reasons: BTreeMap<&'static str, u64>,
    candidates: u64,
    left: u64,
}

/// One sequence, from empty flow tables.
fn play(
    twin: &mut Twin,
    maps: &Maps<'_>,
    world: &mut World,
    chance: &mut Chance,
    tally: &mut Tally,
) -> Result<()> {
    let cast = cast(if chance.one_in(2) { 4 } else { 6 });
    world.restore(twin, chance)?;
    let is_crowd = chance.one_in(8);
    for _ in 1..=chance.between(1..SEQUENCE + 1) {
        // Sequences are short.
        for _ in 0..4 {
            world.maybe_change(twin, &cast, chance)?;
        }
        let pause_ns = match chance.below(8) {
            0 => chance.between(0..200_000_000_000),
            _ => chance.between(0..1_000_000_000),
        };
        twin.set_clock(twin.memory.now_ns + pause_ns)?;
        let question = if is_crowd {
            let client = SocketAddr::new(cast.client.ip(), *chance.pick(&[1, 2, 3]));
            ask(client, cast.service, UDP, false)?
        } else {
            any(&cast, chance)?
        };
        let explanation = explain(maps, &question, twin.memory.now_ns)?;
        twin.compare_flows().context("asking has changed a map")?;
        let [before, after] = &explanation.frames;
        let outcome = twin.run(Hook::Ingress, before)?;
        let said = || format!("{}: {:#?}", explanation.packet, explanation.stages);
        ensure!(
            outcome.reason == Some(explanation.end),
            "{outcome:?}, {}",
            said()
        );
        ensure!(outcome.frame == *after, "{outcome:x?}, {}", said());
        let ends = ends_of(after);
        agrees_with_itself(&explanation, ends, tally).with_context(said)?;
        *tally.reasons.entry(explanation.reason).or_default() += 1;
        if let Some([seen, pod]) = ends {
            go_on(twin, &question, [seen, pod], chance)?;
        }
    }
    twin.sweep()
}

fn ask(client: SocketAddr, at: SocketAddr, protocol: u8, is_established: bool) -> Result<Question> {
    let dialled = Frontend::new(at.ip(), at.port(), protocol);
    Ok(Question::new(client, dialled, is_established)?)
}

/// Few clients with few ports, so that flows are met again and are in each other's way.
fn any(cast: &Cast, chance: &mut Chance) -> Result<Question> {
    let host = if chance.one_in(4) {
        cast.pods[1].ip()
    } else {
        cast.client.ip()
    };
    let client = SocketAddr::new(host, *chance.pick(&[40_000, 40_000, 40_001]));
    let [first, second, third] = services(cast);
    let at_other_port = SocketAddr::new(second.ip(), 9);
    let at = *chance.pick(&[
        first,
        first,
        first,
        second,
        second,
        third,
        at_other_port,
        unallocated(cast),
        cast.stranger,
        cast.pods[0],
    ]);
    let protocol = *chance.pick(&[TCP, TCP, UDP, UDP, SCTP]);
    ask(client, at, protocol, protocol == TCP && chance.one_in(3))
}

/// The stages name what the frame has become.
fn agrees_with_itself(
    explanation: &Explanation,
    ends: Option<[SocketAddr; 2]>,
    tally: &mut Tally,
) -> Result<()> {
    let stages = &explanation.stages;
    ensure!(stages.iter().all(|stage| !stage.decision.is_empty()));
    let candidates: Vec<&Candidate> = stages.iter().flat_map(|stage| &stage.candidates).collect();
    let chosen: Vec<_> = candidates.iter().filter(|one| one.chosen).collect();
    tally.candidates += u64::try_from(candidates.len())?;
    tally.left += u64::try_from(candidates.len() - chosen.len())?;
    let begins = matches!(explanation.end, Reason::Forwarded | Reason::Unpinned);
    if candidates.is_empty() {
        return Ok(());
    }
    ensure!(chosen.len() == usize::from(begins));
    if let (Some([seen, pod]), [chosen]) = (ends, chosen.as_slice()) {
        ensure!(chosen.backend == Some(pod.to_string()));
        ensure!(chosen.source_port == Some(seen.port()));
        let rewrite = stages.iter().find(|stage| stage.name == "rewrite");
        ensure!(rewrite.is_some_and(|stage| stage.decision == format!("{seen} -> {pod}")));
    }
    Ok(())
}

/// Now and then the backend answers, or the client goes on in some way.
fn go_on(
    twin: &mut Twin,
    question: &Question,
    [seen, pod]: [SocketAddr; 2],
    chance: &mut Chance,
) -> Result<()> {
    let protocol = question.dialled().protocol;
    if protocol == SCTP || chance.one_in(3) {
        return Ok(());
    }
    if protocol == UDP {
        twin.run(Hook::Egress, &udp(pod, seen).bytes())?;
        return Ok(());
    }
    if chance.one_in(2) {
        twin.run(Hook::Egress, &tcp(pod, seen).syn_ack().bytes())?;
        return Ok(());
    }
    let flags = *chance.pick(&[flag::ACK, flag::RST, flag::FIN | flag::ACK]);
    let [client, dialled] = question.ends();
    twin.run(Hook::Ingress, &tcp(client, dialled).flags(flags).bytes())?;
    Ok(())
}

/// What a stage has decided.
fn decision<'a>(explanation: &'a Explanation, name: &str) -> Option<&'a str> {
    let mut stages = explanation.stages.iter();
    let stage = stages.find(|stage| stage.name == name)?;
    Some(&stage.decision)
}

#[test]
fn pods_that_reach_themselves_or_are_dialled_themselves_are_told() -> Result<()> {
    let lab = Lab::new("test")?;
    let pins = lab.mount_bpffs()?;
    let mut twin = Twin::load_pinned(OBJECT, SIZES, &pins)?;
    let (store, tables) = (KernelStore::open(&pins)?, KernelTables::open(&pins)?);
    let maps = Maps {
        store: &store,
        tables: &tables,
    };
    for family in [4, 6] {
        twin.reset()?;
        let cast = cast(family);
        let [pod, ..] = cast.pods;
        twin.memory.add_backend(1, pod, TCP);
        twin.memory.add_service(cast.service, TCP, &[1]);
        twin.memory.add_address(cast.service.ip());
        twin.copy()?;
        let now_ns = twin.memory.now_ns;
        let told = |client, at, goes_on| -> Result<Explanation> {
            Ok(explain(&maps, &ask(client, at, TCP, goes_on)?, now_ns)?)
        };

        let itself = SocketAddr::new(pod.ip(), 40_000);
        let shown = SocketAddr::new(cast.service.ip(), 40_000);
        let dialled = told(itself, cast.service, false)?;
        let said = decision(&dialled, "hairpin").context("no word of it")?;
        ensure!(said.contains(&shown.to_string()), "{said}");
        twin.run(Hook::Ingress, &tcp(itself, cast.service).syn().bytes())?;
        let answered = told(pod, shown, true)?;
        ensure!(answered.end == Reason::HairpinReplied, "{answered:#?}");
        let said = decision(&answered, "hairpin").context("no word of it")?;
        ensure!(
            said.contains(&format!("{itself} -> {}", cast.service)),
            "{said}"
        );
        ensure!(decision(&answered, "refuse").is_none(), "{answered:#?}");

        let before = told(cast.client, pod, false)?;
        ensure!(decision(&before, "direct").is_none(), "{before:#?}");
        twin.run(Hook::Ingress, &tcp(cast.client, cast.service).syn().bytes())?;
        let beside = told(cast.client, pod, false)?;
        let [seen, _] = ends_of(&beside.frames[1]).context("no ports")?;
        let said = decision(&beside, "direct").context("no word of it")?;
        ensure!(
            said.contains(&format!("{} -> {}", cast.client, cast.service)),
            "{said}"
        );
        ensure!(said.ends_with(&format!("port {}", seen.port())), "{said}");
        ensure!(decision(&beside, "flow") == Some("begins, half open"));
        ensure!(decision(&beside, "refuse").is_none(), "{beside:#?}");
        twin.memory.node.port_count = 0;
        twin.copy()?;
        let full = told(cast.client, pod, false)?;
        ensure!(full.end == Reason::NoPort && decision(&full, "direct").is_some());
    }
    Ok(())
}

#[test]
fn who_dials_from_outside_is_not_taken_for_what_is_dialled() -> Result<()> {
    let lab = Lab::new("test")?;
    let pins = lab.mount_bpffs()?;
    let mut twin = Twin::load_pinned(OBJECT, SIZES, &pins)?;
    let (store, tables) = (KernelStore::open(&pins)?, KernelTables::open(&pins)?);
    let maps = Maps {
        store: &store,
        tables: &tables,
    };
    for family in [4, 6] {
        for (is_forged, end) in [(false, Reason::Forwarded), (true, Reason::Spoofed)] {
            twin.reset()?;
            let cast = cast(family);
            twin.memory.add_backend(1, cast.pods[0], TCP);
            twin.memory.add_service(cast.service, TCP, &[1]);
            twin.memory.add_address(cast.service.ip());
            if is_forged {
                twin.memory.add_address(cast.client.ip());
            }
            twin.copy()?;
            let question = ask(cast.client, cast.service, TCP, false)?.from_outside();
            let told = explain(&maps, &question, twin.memory.now_ns)?;
            ensure!(told.end == end, "{told:#?}");
            ensure!(decision(&told, "refuse").is_none(), "{told:#?}");
        }
    }
    Ok(())
}
