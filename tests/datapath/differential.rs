// SPDX-License-Identifier: MIT OR Apache-2.0
//! Host and kernel agree on generated packets: on the reason, every byte and every table after
//! each of them; and no translation spoils a checksum.
//!
//! Packets come in sequences of 1 to 50, of a few conversations that share clients, Services and
//! backends, so that flows are made, answered, ended, forgotten and in each other's way. Most are
//! what hosts send; the others are bent, cut or damaged. The clock jumps, the tables that the
//! agent writes change, and the sweep ends flows in between.

mod bend;
mod script;
mod tally;
pub(crate) mod world;

use crate::{
    play::cast,
    twin::{Outcome, Twin},
};
use anyhow::{Context as _, Result, ensure};
use lb_common::verdict::{Reason, Verdict};
use lb_userspace::datapath::OBJECT;
use script::{Packet, Script};
pub(crate) use tally::Tally;
use tests::{
    chance::Chance,
    figures,
    kernel::{Hook, Sizes},
    packet::sums::{Sum, Sums, spoilt, sums},
};
use world::World;

/// Packets of one sequence, at most.
const SEQUENCE: u64 = 50;

/// Fewer flows than there are conversations, so that tables are full at times.
const SIZES: Sizes = Sizes {
    flows: 3,
    half_open: 1024,
    frontends: 16,
    affinity: 1,
    foreign: 1,
    masks: 3,
    backends: 32,
};

#[test]
fn host_and_kernel_agree() {
    figures::check("differential", |run| {
        let tally = differ(OBJECT, run.size, run.seed)?;
        tally.is_broad()?;
        Ok(tally.report())
    });
}

/// Runs so many packets through the host's code and an object's; the first difference is an error.
pub(crate) fn differ(object: &[u8], packets: u64, seed: u64) -> Result<Tally> {
    let mut twin = Twin::load(object, SIZES)?;
    let mut world = World::new(&mut twin)?;
    let mut tally = Tally::default();
    let mut sequence = 0;
    while tally.packets() < packets {
        sequence += 1;
        // Each sequence has chance of its own, so that it fails alike when it is run alone.
        let mut chance = Chance::new(seed, sequence);
        play(&mut twin, &mut world, &mut chance, &mut tally)
            .with_context(|| format!("seed {seed}, sequence {sequence}"))?;
        if sequence % 256 == 0 {
            twin.compare_counters()?;
        }
    }
    twin.compare_counters()?;
    Ok(tally)
}

/// One sequence, from empty flow tables.
fn play(twin: &mut Twin, world: &mut World, chance: &mut Chance, tally: &mut Tally) -> Result<()> {
    let cast = cast(if chance.one_in(2) { 4 } else { 6 });
    world.restore(twin, chance)?;
    let node = world.maybe_outside(twin, &cast, chance)?;
    let mut script = Script::new(&cast, node, chance);
    for number in 1..=chance.between(1..SEQUENCE + 1) {
        world.maybe_change(twin, &cast, chance)?;
        let now_ns = twin.memory.now_ns + script.pause_ns(chance);
        twin.set_clock(now_ns)?;
        if chance.one_in(6) {
            sweep(twin, tally).with_context(|| format!("sweep before packet {number}"))?;
        }
        let mut packet = script.next(chance);
        let is_early = packet.hook == Hook::Ingress && !twin.memory.uplinks.is_empty();
        for hook in [Hook::Uplink, packet.hook] {
            if hook == Hook::Uplink && !(is_early && chance.one_in(2)) {
                continue;
            }
            packet.hook = hook;
            let outcome = judge(twin, &packet, tally).with_context(|| {
                let Packet { hook, bytes, .. } = &packet;
                format!("packet {number} at {hook:?}, {now_ns} ns: {bytes:02x?}")
            })?;
            script.learn(&packet, &outcome);
            if hook == Hook::Uplink && outcome.reason != Some(Reason::Continued) {
                break;
            }
        }
    }
    Ok(())
}

fn sweep(twin: &mut Twin, tally: &mut Tally) -> Result<()> {
    let before = twin.flows();
    twin.sweep()?;
    tally.count_sweep(before, twin.flows());
    Ok(())
}

fn judge(twin: &mut Twin, packet: &Packet, tally: &mut Tally) -> Result<Outcome> {
    let before = twin.flows();
    let outcome = twin.run(packet.hook, &packet.bytes)?;
    let sums = harmless(packet, &outcome)?;
    tally.count(packet, &outcome, sums);
    tally.count_flows(before, twin.flows());
    Ok(outcome)
}

/// Whether an answer's checksums are right, a packet that was neither answered nor translated is as
/// it was, and a translated one has no checksum wrong that was right.
fn harmless(packet: &Packet, outcome: &Outcome) -> Result<Option<Sums>> {
    let verdict = outcome.reason.map(Reason::verdict);
    // An echo is the packet itself, with what was wrong with it.
    if verdict == Some(Verdict::Answer) && outcome.reason != Some(Reason::Echoed) {
        let after = sums(&outcome.frame);
        ensure!(
            after.header != Sum::Wrong && after.transport == Sum::Right,
            "checksums of an answer are {after:?}: {:02x?}",
            outcome.frame
        );
        return Ok(Some(after));
    }
    if !outcome.reason.is_some_and(translates) {
        ensure!(
            packet.bytes == outcome.frame,
            "{:?} has changed the packet",
            outcome.reason
        );
        return Ok(None);
    }
    let spoilt = spoilt(&packet.bytes, &outcome.frame);
    ensure!(
        spoilt.is_none(),
        "checksums before and after: {spoilt:?}: {:02x?}",
        outcome.frame
    );
    Ok(Some(sums(&packet.bytes)))
}

/// Whether a packet that ends so is another one by then.
fn translates(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Forwarded
            | Reason::Unpinned
            | Reason::Replied
            | Reason::Unbelieved
            | Reason::HairpinForwarded
            | Reason::HairpinReplied
            | Reason::RelatedForwarded
            | Reason::RelatedReplied
            | Reason::FragmentForwarded
            | Reason::FragmentReplied
            | Reason::Masqueraded
            | Reason::Unmasked
            | Reason::Echoed
    )
}
