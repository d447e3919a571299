// SPDX-License-Identifier: MIT OR Apache-2.0
//! The delay line: takes packets from the sidings of a road, holds them up, and lets them go.
//!
//! It knows neither what a packet is nor how many are lost: only how long each waits.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    time::Timespec,
};

use super::Weather;
use crate::{
    chance::Chance,
    link::{PacketSocket, UNDONE_LENGTH},
    netns::Namespace,
};

/// How long it may take to notice that it is over.
const IDLE: Duration = Duration::from_millis(50);
/// More than any frame has.
const LONGEST: usize = UNDONE_LENGTH + (1 << 17);

/// Both directions of a road; ends with the value.
#[derive(Debug)]
pub(super) struct DelayLine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One direction: where packets come from and where they go.
#[derive(Debug)]
pub(super) struct Siding {
    from: PacketSocket,
    onward: PacketSocket,
}

#[derive(Debug, Default)]
struct Shared {
    /// How it is, and how often that has changed.
    weather: Mutex<(u64, Weather)>,
    let_go: [AtomicU64; 2],
    is_over: AtomicBool,
    /// Why it has broken down.
    failure: Mutex<Option<String>>,
}

impl Siding {
    /// Opens the delay line's end of a siding, and the link by which packets go on.
    pub(super) fn open(namespace: &Namespace, end: &str, onward: &str) -> Result<Self> {
        namespace.run(|| {
            Ok(Self {
                from: PacketSocket::tap_undone(end)?,
                onward: PacketSocket::open_undone(onward)?,
            })
        })?
    }
}

impl DelayLine {
    /// Starts with no delay.
    pub(super) fn start(sidings: [Siding; 2]) -> Self {
        let shared = Arc::<Shared>::default();
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            if let Err(error) = run(&sidings, &seen) {
                *lock(&seen.failure) = Some(format!("{error:#}"));
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Changes delays and the seed of chance, and begins to count anew.
    pub(super) fn set(&self, weather: Weather) {
        let mut state = lock(&self.shared.weather);
        for count in &self.shared.let_go {
            count.store(0, Ordering::Relaxed);
        }
        *state = (state.0 + 1, weather);
    }

    /// How many packets have gone on in each direction.
    pub(super) fn let_go(&self) -> Result<[u64; 2]> {
        if let Some(failure) = &*lock(&self.shared.failure) {
            bail!("the delay line has broken down: {failure}");
        }
        let [up, down] = &self.shared.let_go;
        Ok([up, down].map(|count| count.load(Ordering::Relaxed)))
    }
}

impl Drop for DelayLine {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // What went wrong has been said to whoever asked.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// What waits in one direction, in the order in which it came.
struct Queue<'a> {
    siding: &'a Siding,
    waiting: VecDeque<(Instant, Vec<u8>)>,
    chance: Chance,
}

fn run(sidings: &[Siding; 2], shared: &Shared) -> Result<()> {
    let [up, down] = sidings;
    let mut queues = [up, down].map(|siding| Queue {
        siding,
        waiting: VecDeque::new(),
        chance: Chance::new(0, 0),
    });
    let mut buffer = vec![0; LONGEST];
    let mut version = 0;
    while !shared.is_over.load(Ordering::Relaxed) {
        let next = queues.iter().filter_map(Queue::next).min();
        wait(sidings, next)?;
        let (now_version, weather) = *lock(&shared.weather);
        for (stream, (queue, let_go)) in (0..).zip(queues.iter_mut().zip(&shared.let_go)) {
            if version != now_version {
                queue.chance = Chance::new(weather.seed, stream);
            }
            queue.take(weather, &mut buffer)?;
            let_go.fetch_add(queue.let_go()?, Ordering::Relaxed);
        }
        version = now_version;
    }
    Ok(())
}

/// Waits for a packet on a siding, or for the moment at which one is let go.
fn wait(sidings: &[Siding; 2], next: Option<Instant>) -> Result<()> {
    let rest = next.map_or(IDLE, |next| next.saturating_duration_since(Instant::now()));
    let rest = Timespec::try_from(rest.min(IDLE)).context("a time to wait")?;
    let [up, down] = sidings;
    let mut ends = [&up.from, &down.from].map(|from| PollFd::new(from, PollFlags::IN));
    match poll(&mut ends, Some(&rest)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("waiting for packets"),
    }
}

impl Queue<'_> {
    /// When the first that waits is let go.
    fn next(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Takes what has come.
    fn take(&mut self, weather: Weather, buffer: &mut [u8]) -> Result<()> {
        while let Some(length) = self.siding.from.take(buffer)? {
            let jitter_ns = u64::try_from(weather.jitter.as_nanos())?;
            let jitter = Duration::from_nanos(self.chance.between(0..jitter_ns));
            let due = Instant::now() + weather.delay + jitter;
            // Whoever came before goes before.
            let due = self.waiting.back().map_or(due, |(last, _)| due.max(*last));
            self.waiting.push_back((due, buffer[..length].to_vec()));
        }
        Ok(())
    }

    /// Lets go what has waited long enough; how many that were.
    fn let_go(&mut self) -> Result<u64> {
        let mut count = 0;
        let now = Instant::now();
        while let Some((_, frame)) = self.waiting.pop_front_if(|(due, _)| *due <= now) {
            self.siding.onward.send(&frame)?;
            count += 1;
        }
        Ok(count)
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
