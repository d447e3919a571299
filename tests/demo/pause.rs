// SPDX-License-Identifier: MIT OR Apache-2.0
//! Letting time pass, where that is meant.

use std::time::Duration;

/// Lets time pass. Not for waiting until something has happened: that has events.
#[expect(
    clippy::disallowed_methods,
    reason = "a demo that plays the kubelet keeps its times"
)]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
