// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche port-forward`: local ports that lead to a Pod.

use super::{output, pods::PodsArgs};
use anyhow::Context as _;
use clap::Args;
use lb_userspace::port_forward::{self, BadRequest, Meant, Ports, Settings};
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

#[derive(Debug, Args)]
pub(super) struct PortForwardArgs {
    /// `POD` or `svc/NAME`, unless --selector says which Pods; then `LOCAL:REMOTE`, one port for
    /// both, or `:REMOTE`. Several ports may be given.
    #[arg(required = true, value_name = "POD | svc/NAME | LOCAL:REMOTE")]
    words: Vec<String>,
    /// Labels of the Pods that are meant: `key=value`, with commas between.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Where to listen; may be repeated.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',',
        default_values_t = [IpAddr::V4(Ipv4Addr::LOCALHOST)])]
    address: Vec<IpAddr>,
    /// The network namespace from which Pods are reached, if it is not this one.
    #[arg(long, value_name = "FILE", requires = "manifests")]
    node_netns: Option<PathBuf>,
    #[command(flatten)]
    pods: PodsArgs,
}

pub(super) fn execute(args: PortForwardArgs) -> anyhow::Result<()> {
    let mut words = args.words.iter();
    let meant = match &args.selector {
        Some(selector) => Meant::labelled(args.pods.namespace(), selector)?,
        None => Meant::named(
            args.pods.namespace(),
            words.next().context("nobody is named")?,
        )?,
    };
    let ports = words.map(|word| word.parse());
    let ports = ports.collect::<Result<Vec<Ports>, BadRequest>>()?;
    if ports.is_empty() {
        return Err(BadRequest::NoPorts.into());
    }
    let settings = Settings {
        through: args.pods.through(args.node_netns),
        meant,
        ports,
        addresses: args.address,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("setting up the event loop")?;
    // A reader that has gone is no reason to end.
    let say = |line: &str| drop(output::text(line));
    match runtime.block_on(port_forward::run(settings, say))? {}
}
