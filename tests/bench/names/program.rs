// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nanoseconds of our programs for one question, by the kernel's own count (`BPF_PROG_TEST_RUN`).
//!
//! A question becomes its answer, so another program makes the next question of it before each run;
//! what that takes, with an empty program in place of ours, is taken off.

use std::sync::Arc;

use anyhow::ensure;
use aya::{TestRun as _, TestRunOptions, programs::SchedClassifier};
use lb_common::verdict::Reason;
use lb_userspace::{
    config::dns::Dns,
    datapath::OBJECT,
    dns::zone::Zone,
    model::{Change, Name, World},
};
use tests::{
    asker::Asker,
    control::objects,
    empty::Empty,
    kernel::{Hook, Kernel, Sizes},
    names::{Query, answer_at},
    packet::udp,
    tables::Memory,
};

use super::world::{CLIENT, SERVICE, dns_name};
use crate::{
    Bench, Scale,
    cluster::{cluster_ip, name},
    estimate::Estimate,
};

/// What is asked, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// A Service's address.
    Address,
    /// A Service's address of a family that it does not have.
    NoData,
    /// A name that the search path makes and that is not there.
    NoName,
}

impl Case {
    const ALL: [Self; 3] = [Self::Address, Self::NoData, Self::NoName];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::NoData => "nothing of that type",
            Self::NoName => "no such name",
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::Address => Reason::NameFound,
            Self::NoData => Reason::NameEmpty,
            Self::NoName => Reason::NameUnknown,
        }
    }

    fn query(self, number: u32) -> Vec<u8> {
        let name = dns_name(number);
        match self {
            Self::Address => Query::of(&name, 1),
            Self::NoData => Query::of(&name, 28),
            Self::NoName => Query::of(&format!("www.example.com.{name}"), 1),
        }
        .bytes()
    }
}

/// What one question takes of our programs, in nanoseconds.
pub(super) struct Row {
    pub(super) case: Case,
    /// Of many in a row, each for another name.
    pub(super) hot: Estimate,
    /// Of one at a time, with what the kernel's way to it leaves in the caches.
    pub(super) single: Estimate,
}

/// Different questions of a case.
const QUESTIONS: u32 = 1_000;
/// Runs of which the kernel tells the mean.
const RUNS: u32 = 1 << 16;

/// All cases among so many names.
pub(super) fn measure(bench: &Bench, services: u32) -> anyhow::Result<Vec<Row>> {
    bench.progress.now("names: the programs alone");
    let (mut kernel, mut empty) = (kernel(services)?, Empty::load()?);
    let (questions, runs) = if bench.scale == Scale::Smoke {
        (services, services)
    } else {
        (QUESTIONS, RUNS)
    };
    let mut found = Vec::new();
    for case in Case::ALL {
        let frames = (0..questions).map(|number| {
            let query = case.query(number * 7_919 % services);
            udp((CLIENT, 40_000).into(), (SERVICE, 53).into())
                .payload(&query)
                .bytes()
        });
        let frames: Vec<Vec<u8>> = frames.collect();
        let mut ours = Asker::open(&frames, kernel.programs.classifier(Hook::Ingress)?)?;
        let mut floor = Asker::open(&frames, empty.program()?)?;
        let effort = bench.scale.effort();
        let hot = effort.median(|_| {
            let ns = answered(&mut kernel, case, runs, |_| ours.mean_ns(runs))?;
            Ok(ns - floor.mean_ns(runs)?)
        })?;
        let single = effort.median(|_| {
            let ns = answered(&mut kernel, case, questions, |kernel| {
                mean_ns(kernel.programs.classifier(Hook::Ingress)?, &frames)
            })?;
            Ok(ns - mean_ns(empty.program()?, &frames)?)
        })?;
        found.push(Row { case, hot, single });
    }
    Ok(found)
}

/// Measures so many runs, each of which has to end as the case says.
fn answered(
    kernel: &mut Kernel,
    case: Case,
    runs: u32,
    measure: impl FnOnce(&mut Kernel) -> anyhow::Result<f64>,
) -> anyhow::Result<f64> {
    let before = kernel.count(Hook::Ingress, case.reason())?;
    let ns = measure(kernel)?;
    let count = kernel.count(Hook::Ingress, case.reason())? - before;
    ensure!(count == u64::from(runs), "{case:?}: {count} of {runs} runs");
    Ok(ns)
}

/// The mean of one run for each frame.
fn mean_ns(program: &SchedClassifier, frames: &[Vec<u8>]) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for frame in frames {
        let ran = program.test_run(TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        })?;
        sum += ran.duration.as_secs_f64() * 1e9;
    }
    Ok(sum / f64::from(u32::try_from(frames.len())?))
}

/// The programs, with the names of so many Services.
fn kernel(services: u32) -> anyhow::Result<Kernel> {
    let sizes = Sizes {
        frontends: 2 * services,
        ..Sizes::default()
    };
    let mut kernel = Kernel::load_in_real_time(OBJECT, sizes)?;
    let mut memory = Memory::default();
    answer_at(&mut memory, &zone(services), (SERVICE, 53).into());
    // As long as the bench takes.
    memory.resolver.negative_until_ns = u64::MAX;
    // As what an agent writes.
    (memory.resolver.version, memory.resolver.version_end) = (1, 1);
    kernel.copy_from(&memory)?;
    Ok(kernel)
}

fn zone(services: u32) -> Zone {
    let mut world = World::new("node");
    let names: Vec<Name> = (0..services).map(name).collect();
    for (number, name) in (0..).zip(&names) {
        let service = objects::service(name.clone(), cluster_ip(number));
        world.apply(Change::Service(Arc::new(service)));
    }
    let mut zone = Dns::default().zone();
    zone.update(&world, &names, 1);
    zone
}
