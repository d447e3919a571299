// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an agent does besides, as long as it lives: two HTTP servers, if they have addresses, and
//! keeping names, if it has a server for them.

use crate::{
    config::Config,
    dns::{
        Answers, Names,
        server::{self as dns_server, Server},
    },
    observe::server::{self, ListenError, Vitals},
};
use std::{convert::Infallible, future::pending, io, sync::Arc};

/// `--dns-listen`: what is answered, and the server that answers it.
pub(super) fn names(config: &Config, answers: Answers) -> io::Result<Option<(Arc<Names>, Server)>> {
    let server = config.dns.server().map(|settings| {
        let names = Arc::new(Names::new(config.dns.zone(), answers));
        names.restore(&config.state_dir);
        let server = dns_server::spawn(settings, names.clone());
        server.map(|server| (names, server))
    });
    server.transpose()
}

/// Names for the next agent.
pub(super) async fn keep(config: &Config, names: Option<&Arc<Names>>) -> Infallible {
    match names {
        Some(names) => names.keep(&config.state_dir).await,
        None => pending().await,
    }
}

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
