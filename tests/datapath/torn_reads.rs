// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values that are overwritten while a program reads them: noticed, because each carries its
//! identity and its version twice; and used, when the check is taken out.
//!
//! One thread runs the ingress program over and over on a segment for Service A; on another
//! processor, a second one deletes and inserts A and B in turns, so that the hash gives the memory
//! of each to the other. A has no backends, so its segment is dropped for `NoBackend`, or passes
//! as `NotService` while A is away. B has backends, so whoever reads B's value for A's drops the
//! segment for `NoFlow`. None of these ends changes the packet, since the node is told to answer
//! nothing, so one call can run it many times.

use crate::{
    play::cast,
    workshop::{self, Change},
};
use anyhow::{Context as _, Result, ensure};
use lb_common::{
    family::V4,
    verdict::Reason,
    wire::{Manner, protocol::TCP},
};
use lb_userspace::datapath::OBJECT;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tests::{
    figures,
    kernel::{FamilyMaps, Hook, Kernel, Programs, Sizes},
    packet::tcp,
    tables::{Memory, fill::frontend_key},
};

/// Waits between finding a value and copying it, as if the processor had been interrupted there:
/// what happens once in ten million lookups then happens all the time.
const SLOW: Change = Change {
    file: "lb-ebpf/src/snapshot.rs",
    sound: "        // SAFETY: `look` has the pointer from a lookup in a map of such values",
    broken: "        for _ in 0..64 {
            // SAFETY: it takes nothing, and always works.
            unsafe { aya_ebpf::helpers::generated::bpf_ktime_get_ns() };
        }
        // SAFETY: `look` has the pointer from a lookup in a map of such values",
};

/// Believes every value, whosever it is.
const NO_CHECK: Change = Change {
    file: "lb-common/src/wire/seal.rs",
    sound: "front == back && self.identity() == identity",
    broken: "true || (front == back && self.identity() == identity)",
};

/// Wrong values that show what the check is good for.
const ENOUGH: u64 = 10;

/// Runs of the program in one call.
const BATCH: u32 = 20_000;

#[test]
fn no_value_of_another_key_is_used() {
    figures::check("torn-reads", |run| {
        let as_it_is = race(OBJECT, |ends| ends.lookups() >= run.size)?;
        // The slow ones meet other values ten thousand times as often, if nothing else keeps the
        // processors busy.
        let fair = run.size / 10;
        let broken = race(&workshop::build(&[SLOW, NO_CHECK])?, |ends| {
            ends.lookups() >= fair && (ends.wrong >= ENOUGH || ends.lookups() >= run.size)
        })?;
        let slow = race(&workshop::build(&[SLOW])?, |ends| {
            ends.lookups() >= broken.lookups()
        })?;
        let used = as_it_is.wrong + slow.wrong;
        ensure!(
            used == 0,
            "values of another key were used: {as_it_is:?}, slow {slow:?}"
        );
        ensure!(
            broken.wrong >= ENOUGH,
            "a missing check is not noticed: {broken:?}"
        );
        Ok(vec![
            ("lookups", json!(as_it_is.lookups())),
            ("wrong_values_used", json!(used)),
            ("failed_twice", json!(as_it_is.torn)),
            ("slow_lookups", json!(slow.lookups())),
            ("slow_failed_twice", json!(slow.torn)),
            ("slow_unchecked_lookups", json!(broken.lookups())),
            ("slow_unchecked_wrong_values_used", json!(broken.wrong)),
        ])
    });
}

/// How the runs ended.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// By A's value, or by its absence.
    right: u64,
    /// By B's value.
    wrong: u64,
    /// By a check that failed twice.
    torn: u64,
}

impl Ends {
    fn lookups(&self) -> u64 {
        self.right + self.wrong + self.torn
    }

    fn read(kernel: &Kernel) -> Result<Self> {
        let count = |reason| kernel.count(Hook::Ingress, reason);
        Ok(Self {
            right: count(Reason::NoBackend)? + count(Reason::NotService)?,
            wrong: count(Reason::NoFlow)?,
            torn: count(Reason::Torn)?,
        })
    }
}

/// Runs until there is enough.
fn race(object: &[u8], enough: impl Fn(&Ends) -> bool) -> Result<Ends> {
    let mut kernel = Kernel::load(object, Sizes::default())?;
    let cast = cast(4);
    let mut memory = Memory::default();
    memory.node.refusals.no_endpoint = Manner::Drop.byte();
    memory.node.refusals.unknown_flow = Manner::Drop.byte();
    memory.add_backend(1, cast.pods[0], TCP);
    memory.add_service(cast.service, TCP, &[]);
    memory.add_service(cast.other, TCP, &[1]);
    kernel.copy_from(&memory)?;
    let segment = tcp(cast.client, cast.service).ack().bytes();
    let processors = two_processors()?;
    loop {
        let Kernel { programs, v4, .. } = &mut kernel;
        race_once(programs, v4, &memory, &segment, processors)?;
        let ends = Ends::read(&kernel)?;
        if enough(&ends) {
            return Ok(ends);
        }
    }
}

/// One thread reads for a while, the other one writes as long.
fn race_once(
    programs: &mut Programs,
    maps: &mut FamilyMaps<V4>,
    memory: &Memory,
    segment: &[u8],
    [reader, writer]: [usize; 2],
) -> Result<()> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let ran = pin(reader).and_then(|()| read(programs, segment));
            stop.store(true, Ordering::Relaxed);
            ran
        });
        let writing = scope.spawn(|| pin(writer).and_then(|()| rewrite(maps, memory, &stop)));
        for thread in [reading, writing] {
            thread.join().expect("neither thread panics")?;
        }
        Ok(())
    })
}

/// Runs the program for a while.
fn read(programs: &mut Programs, segment: &[u8]) -> Result<()> {
    for _ in 0..20 {
        programs
            .repeat(Hook::Ingress, segment, BATCH)
            .context("running the program")?;
    }
    Ok(())
}

/// Deletes and inserts the two frontends in turns.
fn rewrite(maps: &mut FamilyMaps<V4>, memory: &Memory, stop: &AtomicBool) -> Result<()> {
    let cast = cast(4);
    let [a, b] = [cast.service, cast.other].map(|at| frontend_key::<V4>(at, TCP));
    let (service_a, service_b) = (memory.v4.frontends[&a], memory.v4.frontends[&b]);
    while !stop.load(Ordering::Relaxed) {
        maps.remove_frontend(&a)?;
        maps.put_frontend(&b, &service_b)?;
        maps.remove_frontend(&b)?;
        maps.put_frontend(&a, &service_a)?;
    }
    Ok(())
}

/// Two of the processors that this test may use.
fn two_processors() -> Result<[usize; 2]> {
    let allowed = sched_getaffinity(None)?;
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let two = [processors.next(), processors.next()];
    let [Some(first), Some(second)] = two else {
        anyhow::bail!("the test needs two processors");
    };
    Ok([first, second])
}

fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).context("choosing a processor for a thread")
}
