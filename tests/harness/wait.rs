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

/// Lets time go by where that is what is tested, as a pause between two faults is.
#[expect(clippy::disallowed_methods, reason = "time is the event itself")]
pub fn pass(time: Duration) {
    thread::sleep(time);
}

/// The same on a runtime, by its clock.
#[expect(clippy::disallowed_methods, reason = "time is the event itself")]
pub async fn pass_on_runtime(time: Duration) {
    tokio::time::sleep(time).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at the condition"
)]
fn pause() {
    thread::sleep(PAUSE);
}
