// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two HTTP servers of an agent, each as long as it lives, if it has an address.

use crate::{
    config::Config,
    observe::server::{self, ListenError, Vitals},
};
use std::{convert::Infallible, future::pending, sync::Arc};

/// `--healthz-bind-address`.
pub(super) async fn probes(
    config: &Config,
    vitals: &Arc<Vitals>,
) -> Result<Infallible, ListenError> {
    let Some(address) = config.servers.probes else {
        return pending().await;
    };
    let hard_fail = config.servers.hard_fail;
    let listener = server::listen("healthz-bind-address", address, hard_fail).await?;
    Ok(server::serve(listener, server::probes(vitals.clone())).await)
}

/// `--metrics-bind-address`.
pub(super) async fn metrics(
    config: &Config,
    vitals: &Arc<Vitals>,
) -> Result<Infallible, ListenError> {
    let Some(address) = config.servers.metrics else {
        return pending().await;
    };
    let hard_fail = config.servers.hard_fail;
    let listener = server::listen("metrics-bind-address", address, hard_fail).await?;
    Ok(server::serve(listener, server::metrics(vitals.clone())).await)
}
