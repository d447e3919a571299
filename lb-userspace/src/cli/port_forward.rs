// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche port-forward`: local ports that lead to a Pod.

use super::output;
use anyhow::Context as _;
use clap::Args;
use lb_userspace::port_forward::{self, Meant, Ports, Settings};
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
    /// The namespace.
    #[arg(short = 'n', long, default_value = "default")]
    namespace: String,
    /// Where to listen; may be repeated.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',',
        default_values_t = [IpAddr::V4(Ipv4Addr::LOCALHOST)])]
    address: Vec<IpAddr>,
    /// Folder of manifests, as `weiche run` follows them, Pods' status included.
    #[arg(long, value_name = "DIR", required = true)]
    manifests: Vec<PathBuf>,
    /// The network namespace from which Pods are reached, if it is not this one.
    #[arg(long, value_name = "FILE")]
    node_netns: Option<PathBuf>,
}

pub(super) fn execute(args: PortForwardArgs) -> anyhow::Result<()> {
    let mut words = args.words.iter();
    let meant = match &args.selector {
        Some(selector) => Meant::labelled(&args.namespace, selector)
            .context("--selector: write key=value, with commas between")?,
        None => Meant::named(&args.namespace, words.next().context("nobody is named")?),
    };
    let ports = words.map(|word| word.parse().with_context(|| word.clone()));
    let ports = ports.collect::<anyhow::Result<Vec<Ports>>>()?;
    anyhow::ensure!(
        !ports.is_empty(),
        "which port? write LOCAL:REMOTE, such as 8080:80"
    );
    let settings = Settings {
        manifests: args.manifests,
        meant,
        ports,
        addresses: args.address,
        namespace: args.node_netns,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("setting up the event loop")?;
    // A reader that has gone is no reason to end.
    let say = |line: &str| drop(output::text(line));
    match runtime.block_on(port_forward::run(settings, say))? {}
}
