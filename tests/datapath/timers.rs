// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries free themselves while no agent lives. These rows go by the kernel's own clock, and no
//! time-out is longer than they need.

use crate::play::{Cast, cast, done};
use anyhow::{Result, ensure};
use lb_common::{
    family::{Family, V4, V6},
    wire::{
        Timeouts,
        protocol::{TCP, UDP},
    },
};
use lb_userspace::datapath::OBJECT;
use serde_json::json;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tests::{
    figures,
    kernel::{FamilyMaps, Hook, Kernel, Sizes},
    packet::{Frame, tcp, udp},
    tables::{Flows, Memory},
    wait,
};

/// A flow's time-out. A packet prolongs a life only by a second or more.
const LIFE: Duration = Duration::from_millis(1_500);
const TOMBSTONE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(20);
/// How far a row's own clock may be behind the kernel's.
const SLACK: Duration = Duration::from_millis(100);
/// How much later than it should a flow may end: two pauses of the sweep, and a busy machine.
const LATE: Duration = Duration::from_millis(1_000);

/// The kernel alone, with a Service that leads to one pod.
struct Alone {
    kernel: Kernel,
    cast: Cast,
}

impl Alone {
    fn new(family: u8, flows: u32) -> Result<Self> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos());
        let mut memory = Memory::default();
        memory.node.timeouts = Timeouts {
            udp_answered_ns: nanoseconds(LIFE)?,
            tombstone_ns: nanoseconds(TOMBSTONE)?,
            ..Timeouts::default()
        };
        let cast = cast(family);
        for (id, protocol) in [(1, TCP), (2, UDP)] {
            memory.add_backend(id, cast.pods[0], protocol);
            memory.add_service(cast.service, protocol, &[id]);
        }
        let sizes = Sizes {
            flows,
            ..Sizes::default()
        };
        let mut kernel = Kernel::load_in_real_time(OBJECT, sizes)?;
        kernel.copy_from(&memory)?;
        kernel.programs.sweep()?;
        Ok(Self { kernel, cast })
    }

    fn run(&mut self, hook: Hook, frame: &Frame) -> Result<()> {
        self.kernel.programs.run(hook, &frame.bytes()).map(drop)
    }

    /// A TCP flow that would live for a day.
    fn shake_hands(&mut self) -> Result<()> {
        let Cast {
            client,
            service,
            pods: [pod, ..],
            ..
        } = self.cast;
        self.run(Hook::Ingress, &tcp(client, service).syn())?;
        self.run(Hook::Egress, &tcp(pod, client).syn_ack())?;
        self.run(Hook::Ingress, &tcp(client, service).ack())
    }

    /// A client asks, is answered and asks again, as whoever has a flow that is tracked.
    fn ask(&mut self, client: SocketAddr) -> Result<()> {
        let Cast {
            service,
            pods: [pod, ..],
            ..
        } = self.cast;
        self.run(Hook::Ingress, &udp(client, service))?;
        self.run(Hook::Egress, &udp(pod, client))?;
        self.run(Hook::Ingress, &udp(client, service))
    }

    /// Begins so many flows one after another, and says how long that took.
    fn begin(&mut self, count: u32) -> Result<Duration> {
        let client = self.cast.client.ip();
        let start = Instant::now();
        for number in 0..count {
            let port = u16::try_from(1 + number % 60_000)?;
            self.ask(SocketAddr::new(client, port))?;
        }
        Ok(start.elapsed())
    }

    /// Established flows, and their reverse entries.
    fn entries(&self) -> Result<[usize; 2]> {
        fn count<F: Family>(maps: &FamilyMaps<F>) -> Result<[usize; 2]> {
            let Flows { established, .. } = maps.flows()?;
            Ok([established.flows.len(), established.reverse.len()])
        }
        let ([f4, r4], [f6, r6]) = (count::<V4>(&self.kernel.v4)?, count::<V6>(&self.kernel.v6)?);
        Ok([f4 + f6, r4 + r6])
    }

    /// Waits until both entries of every flow are gone, and says how long that took.
    fn is_forgotten(&self) -> Result<Duration> {
        let start = Instant::now();
        let Kernel { v4, v6, .. } = &self.kernel;
        wait::until("the flows to go", PATIENCE, || {
            (v4.established() + v6.established() == 0).then_some(())
        })?;
        let time = start.elapsed();
        ensure!(self.entries()? == [0, 0], "reverse entries are left");
        Ok(time)
    }
}

fn both(row: impl Fn(Alone) -> Result<()>) {
    for family in [4, 6] {
        done(Alone::new(family, 16).and_then(&row));
    }
}

#[test]
fn a_silent_flow_goes_with_its_reverse_entry() {
    both(|mut alone| {
        alone.ask(alone.cast.client)?;
        assert_eq!(alone.entries()?, [1, 1]);
        let time = alone.is_forgotten()?;
        // Measured from just after the packet, and with a clock of its own.
        assert!(time + SLACK > LIFE + TOMBSTONE, "after {time:?}");
        Ok(())
    });
}

#[test]
fn a_flow_in_use_stays() {
    both(|mut alone| {
        let question = udp(alone.cast.client, alone.cast.service);
        let start = Instant::now();
        alone.ask(alone.cast.client)?;
        wait::until("most of its life to pass", PATIENCE, || {
            (start.elapsed() + 3 * SLACK > LIFE).then_some(())
        })?;
        alone.run(Hook::Ingress, &question)?;
        let time = start.elapsed() + alone.is_forgotten()?;
        assert!(time + 4 * SLACK > LIFE * 2 + TOMBSTONE, "after {time:?}");
        Ok(())
    });
}

#[test]
fn a_flow_that_is_cut_short_goes_early() {
    both(|mut alone| {
        let Cast {
            client, service, ..
        } = alone.cast;
        alone.shake_hands()?;
        assert_eq!(alone.entries()?, [1, 1], "for a day");
        alone.run(Hook::Ingress, &tcp(client, service).rst())?;
        alone.is_forgotten()?;
        Ok(())
    });
}

#[test]
fn a_sweep_that_is_started_again_goes_on() {
    both(|mut alone| {
        for _agent in 0..3 {
            alone.begin(16)?;
            alone.is_forgotten()?;
            alone.kernel.programs.sweep()?;
        }
        Ok(())
    });
}

#[test]
fn flows_that_begin_at_once_end_in_time() {
    figures::check("expiry-bursts", |run| {
        let mut report = Vec::new();
        for (what, count, within) in [
            ("2,000 flows", 2_000, Duration::from_millis(100)),
            ("20,000 flows", 20_000, Duration::from_secs(1)),
        ] {
            let mut alone = Alone::new(4, 32_768)?;
            let mut worst = [Duration::ZERO; 2];
            for _burst in 0..run.size {
                let start = Instant::now();
                let took = alone.begin(count)?;
                let begun = alone.kernel.v4.established();
                // On a busy machine the first ones may have ended before the last ones began.
                let is_early = start.elapsed() < LIFE;
                ensure!(
                    !is_early || begun == usize::try_from(count)?,
                    "only {begun} have begun"
                );
                let late = alone.is_forgotten()?.saturating_sub(LIFE + TOMBSTONE);
                ensure!(late < LATE, "{what}: the last one ended {late:?} late");
                worst = [worst[0].max(took), worst[1].max(late)];
            }
            ensure!(worst[0] < 4 * within, "{what} took {:?} to begin", worst[0]);
            let milliseconds = worst.map(|time| u64::try_from(time.as_millis()).ok());
            report.push((
                what,
                json!({"begun in ms": milliseconds[0], "late by ms": milliseconds[1]}),
            ));
        }
        Ok(report)
    });
}
