// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a test can make go wrong.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};

use super::{Shared, objects::Resource, refusal::Refusal};

/// Faults that are on. All are off at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answer requests with this HTTP status and a `Status` object.
    pub refuse: Option<u16>,
    /// Refuse this resource only.
    pub refuse_only: Option<Resource>,
    /// Say nothing at all, in watches that are open too, and keep connections.
    pub stall: bool,
    /// Say 410 as the status of the answer instead of inside the watch: servers do both.
    pub gone_as_status: bool,
    /// End every watch as soon as it is opened.
    pub end_watches: bool,
    /// Each step cuts all watches that are open, in the middle of their streams.
    pub cuts: u64,
}

/// Holds a request back while the server stalls; `Some` when it is refused.
pub(super) async fn before_answer(shared: &Arc<Shared>, resource: Resource) -> Option<Response> {
    let mut faults = shared.faults.subscribe();
    // The sender lives as long as the server.
    let faults = faults.wait_for(|faults| !faults.stall).await.ok()?.clone();
    let code = faults.refuse?;
    let meant = faults.refuse_only.is_none_or(|only| only == resource);
    meant.then(|| Refusal::of_code(code, resource).into_response())
}
