// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nanoseconds of our programs for one question, by the kernel's own count (`BPF_PROG_TEST_RUN`).
//!
//! A question becomes its answer, so a run is of one packet, and what a run of an empty program
//! takes is taken off.

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

/// Questions of a sample, each for another name.
const QUESTIONS: u32 = 1_000;

/// All cases among so many names.
pub(super) fn measure(bench: &Bench, services: u32) -> anyhow::Result<Vec<(Case, Estimate)>> {
    bench.progress.now("names: the programs alone");
    let (mut kernel, mut empty) = (kernel(services)?, Empty::load()?);
    let questions = if bench.scale == Scale::Smoke {
        services
    } else {
        QUESTIONS
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
        let mut answered = kernel.count(Hook::Ingress, case.reason())?;
        let ns = bench.scale.effort().median(|_| {
            let ours = mean_ns(kernel.programs.classifier(Hook::Ingress)?, &frames)?;
            let count = kernel.count(Hook::Ingress, case.reason())?;
            ensure!(
                count - answered == u64::from(questions),
                "{case:?}: {count}"
            );
            answered = count;
            Ok(ours - mean_ns(empty.program()?, &frames)?)
        })?;
        found.push((case, ns));
    }
    Ok(found)
}

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
