// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche run`: what becomes of packets that no backend gets.

use clap::{Args, ValueEnum};
use lb_common::wire::{Manner, Refusals};

/// Clients are told at once that nobody serves them, as kube-proxy does it.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Packets that no backend gets")]
pub(super) struct RefusalArgs {
    /// For a Service without any endpoint.
    #[arg(long, value_name = "HOW", default_value = "answer")]
    no_endpoint: Told,
    /// TCP in the middle of a connection that is not known.
    #[arg(long, value_name = "HOW", default_value = "answer")]
    unknown_flow: Told,
    /// For a Cluster-IP, at a port or by a protocol that its Service does not have.
    #[arg(long, value_name = "HOW", default_value = "answer")]
    unknown_port: Treated,
    /// ICMP echo requests for a Cluster-IP.
    #[arg(long, value_name = "HOW", default_value = "answer")]
    ping: Treated,
    /// For an address of --service-cidr that no Service has; in cluster mode only where that flag
    /// is given.
    #[arg(long, value_name = "HOW", default_value = "drop")]
    unallocated: Left,
    /// Answers in a second at most, of the whole node; more packets are dropped.
    #[arg(long, value_name = "N", default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..))]
    answer_rate: u32,
}

/// Clients are told, or not.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Told {
    Answer,
    Drop,
}

/// Or the packet is none of ours.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Treated {
    Answer,
    Drop,
    Pass,
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Left {
    Drop,
    Pass,
}

impl RefusalArgs {
    pub(super) fn refusals(self) -> Refusals {
        let told = |told| match told {
            Told::Answer => Manner::Answer,
            Told::Drop => Manner::Drop,
        };
        let treated = |treated| match treated {
            Treated::Answer => Manner::Answer,
            Treated::Drop => Manner::Drop,
            Treated::Pass => Manner::Pass,
        };
        let unallocated = match self.unallocated {
            Left::Drop => Manner::Drop,
            Left::Pass => Manner::Pass,
        };
        Refusals {
            no_endpoint: told(self.no_endpoint).byte(),
            unknown_flow: told(self.unknown_flow).byte(),
            unknown_port: treated(self.unknown_port).byte(),
            echo: treated(self.ping).byte(),
            unallocated: unallocated.byte(),
            ..Refusals::per_second(self.answer_rate)
        }
    }
}
