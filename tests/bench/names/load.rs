// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client: queries over one socket, many at a time or one after another, for a while.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use super::world::{self, World};
use crate::path::cpu;

/// Queries that are under way at once.
const WINDOW: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A step through the names that meets each of them: a prime that divides no number of them.
const STEP: usize = 7_919;

/// What came of a while.
pub(super) struct Tally {
    pub(super) per_second: f64,
    /// In nanoseconds.
    pub(super) latencies: Histogram<u64>,
}

/// A query for each of so many names, in an order that jumps.
pub(super) fn queries(services: u32) -> Vec<Vec<u8>> {
    let count = usize::try_from(services).unwrap_or(1);
    let numbers = (0..count).map(|at| at * STEP % count);
    let numbers = numbers.filter_map(|number| u32::try_from(number).ok());
    numbers.map(query).collect()
}

/// A, class IN, recursion desired.
fn query(number: u32) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in world::dns_name(number).trim_end_matches('.').split('.') {
        query.push(u8::try_from(label.len()).unwrap_or(0));
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// Asks for half of the time many at once, and for the other half one by one.
pub(super) fn run(
    world: &World,
    queries: &[Vec<u8>],
    processor: usize,
    time: Duration,
) -> anyhow::Result<Tally> {
    world.client.run(|| {
        cpu::pin(processor)?;
        let mut asker = Asker::new(world.target(), queries)?;
        // One for what is not there yet, such as a neighbour.
        asker.ask()?;
        asker.hear()?;
        Ok(Tally {
            per_second: asker.many(time / 2)?,
            latencies: asker.one_by_one(time / 2)?,
        })
    })?
}

struct Asker<'a> {
    socket: UdpSocket,
    queries: &'a [Vec<u8>],
    next: u16,
    query: Vec<u8>,
    answer: [u8; 512],
}

impl<'a> Asker<'a> {
    fn new(server: SocketAddr, queries: &'a [Vec<u8>]) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            queries,
            next: 0,
            query: Vec::new(),
            answer: [0; 512],
        })
    }

    fn many(&mut self, time: Duration) -> anyhow::Result<f64> {
        for _ in 0..WINDOW {
            self.ask()?;
        }
        let begin = Instant::now();
        let mut answers = 0_u32;
        while begin.elapsed() < time {
            self.hear()?;
            answers += 1;
            self.ask()?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        for _ in 0..WINDOW {
            self.hear()?;
        }
        Ok(f64::from(answers) / seconds)
    }

    fn one_by_one(&mut self, time: Duration) -> anyhow::Result<Histogram<u64>> {
        let mut latencies = Histogram::new(3)?;
        let begin = Instant::now();
        loop {
            let before = Instant::now();
            self.ask()?;
            self.hear()?;
            let after = Instant::now();
            latencies.record(u64::try_from((after - before).as_nanos())?)?;
            if after - begin >= time {
                return Ok(latencies);
            }
        }
    }

    /// Sends the next query, under an id of its own.
    fn ask(&mut self) -> anyhow::Result<()> {
        let at = usize::from(self.next) % self.queries.len();
        self.query.clone_from(&self.queries[at]);
        self.query[..2].copy_from_slice(&self.next.to_be_bytes());
        self.next = self.next.wrapping_add(1);
        self.socket.send(&self.query).context("asking")?;
        Ok(())
    }

    /// Takes an answer, which has to be one address.
    fn hear(&mut self) -> anyhow::Result<()> {
        let length = self.socket.recv(&mut self.answer).context("hearing")?;
        // A response without an error.
        let [flags, code] = [self.answer[2] & 0x80, self.answer[3] & 0x0f];
        let is_answer = length > 12 && [flags, code] == [0x80, 0];
        let has_one = self.answer[6..8] == [0, 1];
        let said = &self.answer[..length.min(12)];
        ensure!(is_answer && has_one, "this is no answer: {said:?}");
        Ok(())
    }
}
