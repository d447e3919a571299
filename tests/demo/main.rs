// SPDX-License-Identifier: MIT OR Apache-2.0
//! A demo node on one machine: pods made of network namespaces, a host behind an uplink, and
//! Weiche in between, in standalone mode.
//!
//! The demo plays the kubelet and nothing else: it follows a folder of manifests, runs the Pods
//! that are in it and writes down their status. What Services mean is Weiche's affair alone.

mod demo;
mod signals;
mod manifests;
mod kubelet;
mod pod_server;
mod agent;
mod complete;
mod guide;
mod variables;
mod resolver;
mod pause;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

/// Runs Weiche on a demo node made of network namespaces.
///
/// Without CMD it says what to try and runs until Ctrl-C. With CMD it brings the node up, runs CMD
/// in the client pod, takes the node down and exits with CMD's status.
#[derive(Debug, Parser)]
#[command(name = "weiche-demo", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    demo: DemoArguments,
}

/// What the demo is made of.
#[derive(Args, Debug)]
struct DemoArguments {
    /// The program `weiche` [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    weiche: Option<PathBuf>,
    /// Folder of Kubernetes manifests to follow.
    #[arg(long, value_name = "DIR", default_value = "examples/alpaca")]
    manifests: PathBuf,
    /// What to run in the client pod, with its arguments.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What this program is, when it is not the demo itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The server process of a demo pod.
    #[command(hide = true)]
    PodServer {
        /// The pod's name, which the server answers with.
        #[arg(long)]
        name: String,
        /// The port to serve, TCP and UDP.
        #[arg(long)]
        port: u16,
        /// The pod's addresses, to be shown.
        #[arg(long)]
        addresses: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread: children die with the thread that started them, and this one lives longest.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime");
    let ended = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match arguments.role {
                Some(Role::PodServer {
                    name,
                    port,
                    addresses,
                }) => pod_server::serve(name, addresses, port)
                    .await
                    .map(|()| ExitCode::SUCCESS),
                None => demo::run(arguments.demo).await,
            }
        })
    });
    ended.unwrap_or_else(|error| {
        eprintln!("weiche-demo: {error:#}");
        ExitCode::FAILURE
    })
}
