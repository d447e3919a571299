// SPDX-License-Identifier: MIT OR Apache-2.0
//! Progress: each long piece of work says that it begins, and how long it took, on standard error:
//! standard output belongs to what was asked for, such as the command of `cargo xtask run`.

use std::time::{Duration, Instant};

/// Does one piece of work and says so.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("==> {name}");
    let watch = Stopwatch::start();
    let result = work();
    let end = if result.is_ok() { "done" } else { "failed" };
    eprintln!("==> {name}: {end} in {}", seconds(watch.elapsed()));
    result
}

/// Measures how long something takes.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "xtask's one place that asks the time"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
