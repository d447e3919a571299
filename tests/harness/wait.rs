// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for a condition instead of for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

const PAUSE: Duration = Duration::from_millis(10);

/// Asks `look` until it answers with something, at most for `limit`; the error names `what`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} in vain for {what}");
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at the condition"
)]
fn pause() {
    thread::sleep(PAUSE);
}
