// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries free themselves while no agent lives. These rows go by the kernel's own clock, and no
//! time-out is longer than they need.

use crate::play::{Cast, cast, done};
use anyhow::Result;
use lb_common::{
    conntrack::seen,
    family::{Family, V4, V6},
    wire::{
        Flow, Reverse, Timeouts, Tuple,
        protocol::{TCP, UDP},
    },
};
use lb_userspace::datapath::OBJECT;
use std::time::{Duration, Instant};
use tests::{
    kernel::{FamilyMaps, Hook, Kernel, Sizes},
    packet::{Frame, tcp, udp},
    tables::{Flows, Memory},
    wait,
};
use zerocopy::IntoBytes as _;

/// A flow's time-out. A packet prolongs a life only by a second or more.
const LIFE: Duration = Duration::from_millis(1_500);
const TOMBSTONE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(20);
/// How far a row's own clock may be behind the kernel's.
const SLACK: Duration = Duration::from_millis(100);

/// The kernel alone, with a Service that leads to one pod.
struct Alone {
    kernel: Kernel,
    cast: Cast,
}

impl Alone {
    fn new(family: u8) -> Result<Self> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos());
        let mut memory = Memory::default();
        memory.node.timeouts = Timeouts {
            udp_unanswered_ns: nanoseconds(LIFE)?,
            tombstone_ns: nanoseconds(TOMBSTONE)?,
            ..Timeouts::default()
        };
        let cast = cast(family);
        for (id, protocol) in [(1, TCP), (2, UDP)] {
            memory.add_backend(id, cast.pods[0], protocol);
            memory.add_service(cast.service, protocol, &[id]);
        }
        let mut kernel = Kernel::load_in_real_time(OBJECT, Sizes::default())?;
        kernel.copy_from(&memory)?;
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

    /// Established flows, and their reverse entries.
    fn entries(&self) -> Result<[usize; 2]> {
        fn count<F: Family>(maps: &FamilyMaps<F>) -> Result<[usize; 2]> {
            let Flows { established, .. } = maps.flows()?;
            Ok([established.flows.len(), established.reverse.len()])
        }
        let ([f4, r4], [f6, r6]) = (count::<V4>(&self.kernel.v4)?, count::<V6>(&self.kernel.v6)?);
        Ok([f4 + f6, r4 + r6])
    }

    /// What the agent hands over of each flow, changed a little.
    fn packets(&self, family: u8, change: impl Fn(&mut Flow)) -> Result<Vec<Vec<u8>>> {
        fn of<F: Family>(maps: &FamilyMaps<F>, change: impl Fn(&mut Flow)) -> Result<Vec<Vec<u8>>> {
            let Flows { established, .. } = maps.flows()?;
            let packet = |(key, flow): (&Tuple<F::Address>, &Flow)| {
                let mut flow = *flow;
                let of_flow = |(_, reverse): &(_, &Reverse)| reverse.born_ns == flow.born_ns;
                let (reverse_key, reverse) = established.reverse.iter().find(of_flow)?;
                change(&mut flow);
                let (key, reverse_key) = (key.as_bytes(), reverse_key.as_bytes());
                let parts = [
                    &[0; 14],
                    key,
                    flow.as_bytes(),
                    reverse_key,
                    reverse.as_bytes(),
                ];
                Some(parts.concat())
            };
            Ok(established.flows.iter().filter_map(packet).collect())
        }
        match family {
            4 => of(&self.kernel.v4, change),
            _ => of(&self.kernel.v6, change),
        }
    }

    /// Waits until both entries of the only flow are gone, and says how long that took.
    fn is_forgotten(&self) -> Result<Duration> {
        let start = Instant::now();
        wait::until("the flow's entries to go", PATIENCE, || {
            (self.entries().ok()? == [0, 0]).then_some(())
        })?;
        Ok(start.elapsed())
    }
}

fn both(row: impl Fn(Alone) -> Result<()>) {
    for family in [4, 6] {
        done(Alone::new(family).and_then(&row));
    }
}

#[test]
fn a_silent_flow_goes_with_its_reverse_entry() {
    both(|mut alone| {
        let question = udp(alone.cast.client, alone.cast.service);
        alone.run(Hook::Ingress, &question)?;
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
        alone.run(Hook::Ingress, &question)?;
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
fn a_flow_that_was_taken_over_goes_in_its_time() {
    both(|mut alone| {
        let family = if alone.cast.client.is_ipv4() { 4 } else { 6 };
        let question = udp(alone.cast.client, alone.cast.service);
        alone.run(Hook::Ingress, &question)?;
        let packets = alone.packets(family, |_| {})?;
        alone.kernel.copy_flows(&Memory::default())?;
        assert_eq!(alone.entries()?, [0, 0]);
        for packet in &packets {
            assert_eq!(alone.kernel.programs.adopt(family, packet)?, 0);
            // Once more does no harm.
            assert_eq!(alone.kernel.programs.adopt(family, packet)?, 0);
        }
        assert_eq!(alone.entries()?, [1, 1]);
        assert_eq!(alone.packets(family, |_| {})?, packets);
        let time = alone.is_forgotten()?;
        assert!(time + 4 * SLACK > LIFE + TOMBSTONE, "after {time:?}");
        Ok(())
    });
}

#[test]
fn the_end_of_a_flow_is_taken_over_after_the_flow() {
    both(|mut alone| {
        let family = if alone.cast.client.is_ipv4() { 4 } else { 6 };
        alone.shake_hands()?;
        // Another flow's end under the same key says nothing.
        let other = alone.packets(family, |flow| {
            flow.born_ns += 1;
            flow.born_ns_end += 1;
            flow.client_seen |= seen::RST;
            flow.expires_ns = 1;
        })?;
        let before = alone.packets(family, |_| {})?;
        assert_eq!(alone.kernel.programs.adopt(family, &other[0])?, 0);
        assert_eq!(alone.packets(family, |_| {})?, before);
        let ended = alone.packets(family, |flow| {
            flow.client_seen |= seen::RST;
            flow.expires_ns = 1;
        })?;
        assert_eq!(alone.kernel.programs.adopt(family, &ended[0])?, 0);
        alone.is_forgotten()?;
        Ok(())
    });
}
