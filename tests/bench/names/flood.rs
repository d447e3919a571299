// SPDX-License-Identifier: MIT OR Apache-2.0
//! Queries without a client: from a source at the node's end of the client's link to a sink in the
//! client's place. Neither sockets nor the client cost anything, so what a query costs is the
//! node's, and whoever's who answers.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    process::Command,
};

use anyhow::{Context as _, ensure};
use tests::{
    packet::udp,
    source::{Sink, Source},
};

use super::{
    load,
    world::{CLIENT, NODE_LINK, World},
};
use crate::path::cpu;

/// The client's ports: those bits of a number, and the first one. The query's id is the complement.
const PORTS: [u16; 2] = [0x0fff, 0x4000];
/// Queries that arrive at once: their sockets' buffers hold more of them.
const BATCH: u32 = 32;

/// What a query costs in a world, in nanoseconds of the processor, when so many come.
pub(super) fn cost_ns(world: &World, processor: usize, count: u32) -> anyhow::Result<f64> {
    let mut query = load::queries(1).pop().context("a query")?;
    query[..2].copy_from_slice(&[0xff; 2]);
    let client = SocketAddr::new(IpAddr::from(CLIENT), 0);
    let frame = udp(client, world.target()).payload(&query).bytes();
    // The client's port, and the id.
    let places = [14 + 20, 14 + 20 + 8, 14 + 20 + 8];
    world.node.run(|| {
        cpu::pin(processor)?;
        let source = Source::open(&world.node, NODE_LINK, &frame, (places, PORTS))?;
        let source = source.at_once(BATCH);
        let sink = Sink::open(&world.client, "eth0")?;
        let answering = Answering::first(world.pid)?;
        // Code, neighbours and buffers.
        source.send(BATCH)?;
        let softirq = cpu::kernel_thread(processor)?;
        let used = || -> anyhow::Result<u64> {
            let of_kernel = softirq.map(cpu::of_thread_ns).transpose()?;
            Ok(cpu::own_ns() + answering.used_ns()? + of_kernel.unwrap_or(0))
        };
        let (taken, before) = (sink.taken()?, used()?);
        source.send(count)?;
        let answers = sink.taken()? - taken;
        let enough = u64::from(count) * 99 / 100;
        ensure!(answers >= enough, "{answers} answers to {count} queries");
        let used = u32::try_from((used()? - before) / 1_000)?;
        Ok(f64::from(used) * 1_000.0 / f64::from(u32::try_from(answers)?))
    })?
}

/// Processes that get the processor as soon as there is something to answer: else the source would
/// go on until their sockets are full.
struct Answering {
    processes: Vec<u32>,
}

impl Answering {
    /// A process and all that it has started.
    fn first(process: u32) -> anyhow::Result<Self> {
        let mut processes = vec![process];
        let mut at = 0;
        while let Some(parent) = processes.get(at).copied() {
            for thread in fs::read_dir(format!("/proc/{parent}/task"))? {
                let children = fs::read_to_string(thread?.path().join("children"))?;
                let children = children.split_whitespace().map(str::parse);
                processes.extend(children.collect::<Result<Vec<u32>, _>>()?);
            }
            at += 1;
        }
        let answering = Self { processes };
        // Before the bench itself, which `chrt --rr 1` may have started.
        answering.schedule(&["--rr", "--pid", "2"])?;
        Ok(answering)
    }

    fn schedule(&self, how: &[&str]) -> anyhow::Result<()> {
        for process in &self.processes {
            let mut command = Command::new("chrt");
            command.arg("--all-tasks").args(how);
            let output = command.arg(process.to_string()).output();
            let output = output.context("starting chrt")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "chrt: {said}");
        }
        Ok(())
    }

    /// What they have used, in nanoseconds.
    fn used_ns(&self) -> anyhow::Result<u64> {
        let mut used = 0;
        for process in &self.processes {
            for thread in fs::read_dir(format!("/proc/{process}/task"))? {
                let number = thread?.file_name().to_string_lossy().parse()?;
                used += cpu::of_thread_ns(number)?;
            }
        }
        Ok(used)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Err(error) = self.schedule(&["--other", "--pid", "0"]) {
            eprintln!("{error:#}");
        }
    }
}
