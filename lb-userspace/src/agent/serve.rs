// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an agent does besides, as long as it lives: two HTTP servers, if they have addresses, and
//! keeping names, if it has a server for them.

use super::AgentError;
use crate::{
    config::{Config, Source, dns::KernelDns},
    dns::{
        Answers, Names,
        kernel::Table,
        server::{self as dns_server, Server},
        shadow::{Shadow, Tally},
    },
    maps::kernel::{KernelNames, KernelOverheard},
    observe::server::{self, ListenError, Vitals},
};
use lb_common::wire::ResolverMode;
use std::{convert::Infallible, future::pending, path::Path, sync::Arc};
use tokio::join;

/// Names, and who answers from them.
#[derive(Default)]
pub(super) struct Answering {
    pub(super) names: Option<Arc<Names>>,
    /// It ends when this goes.
    pub(super) server: Option<Server>,
    /// What compares others' answers with the kernel's.
    pub(super) shadow: Option<Shadow>,
}

/// `--dns-listen` and `--kernel-dns`: what is answered, and the server that answers it.
pub(super) fn names(
    config: &Config,
    maps: &Path,
    answers: &Answers,
) -> Result<Answering, AgentError> {
    let mut names = KernelNames::open(maps)?;
    let is_standalone = matches!(config.source, Source::Manifests(_));
    let table = |names, mode| {
        let except = config.dns.kernel_except(is_standalone);
        Table::new(names, config.dns.service.0.clone(), except, mode)
    };
    let (kernel, shadow) = match config.dns.kernel(is_standalone) {
        KernelDns::On => (Some(table(names, ResolverMode::On)?), None),
        KernelDns::Shadow => {
            let overheard = KernelOverheard::open(maps)?;
            let shadow = Shadow::new(overheard, KernelNames::open(maps)?, answers.clone());
            (Some(table(names, ResolverMode::Shadow)?), Some(shadow))
        }
        KernelDns::Off => {
            Table::switch_off(&mut names)?;
            (None, None)
        }
    };
    let settings = config.dns.server();
    if settings.is_none() && kernel.is_none() {
        return Ok(Answering::default());
    }
    let names = Arc::new(Names::new(config.dns.zone(), kernel, answers.clone()));
    names.restore(&config.state_dir);
    let server = settings.map(|settings| dns_server::spawn(settings, names.clone()));
    Ok(Answering {
        names: Some(names),
        server: server.transpose().map_err(AgentError::Dns)?,
        shadow,
    })
}

/// `--kernel-dns=shadow`.
pub(super) async fn compare(shadow: Option<Shadow>, report: impl FnMut(&Tally)) -> Infallible {
    match shadow {
        Some(shadow) => shadow.run(report).await,
        None => pending().await,
    }
}

/// Names for the next agent.
pub(super) async fn keep(config: &Config, names: Option<&Arc<Names>>) -> Infallible {
    match names {
        Some(names) => {
            let (never, _) = join!(names.keep(&config.state_dir), names.renew());
            never
        }
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
