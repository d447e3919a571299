// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every task that a person or CI runs, as one verb each; decides which verb it is.
//!
//! Starts with any stable toolchain since 1.85 and names the pinned one for everything that it
//! starts itself. It knows nothing of packets or maps.

mod toolchain;
mod workspace;

mod process;
mod step;

mod setup;

mod build;
mod run;
mod bench;
mod test;
mod verifier;
mod coverage;
mod fuzz;
mod semantics;

mod lint;
mod tidy;

mod ci;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};
use test::Manner;

/// Everything that one does with a checkout of Weiche.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing: toolchain, bpf-linker, packages
    Setup,
    /// Run the demo node, or one command in its client pod (root)
    Run {
        /// A command to run in the client pod instead; its exit status becomes ours
        #[arg(last = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Measure: what a change costs from the cluster to the kernel (root)
    Bench {
        /// Of `weiche-bench`; `--help` lists them
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<OsString>,
    },
    /// Build `weiche` and the demo, BPF programs included
    Build {
        /// With optimisations, in target/release
        #[arg(long)]
        release: bool,
        /// `weiche` alone, without any library of the system, in target/x86_64-unknown-linux-musl
        #[arg(long = "static")]
        is_static: bool,
    },
    /// Run every test there is, or the suites named (root)
    Test {
        /// Each figure in the size that the project promises, instead of the small one
        #[arg(long)]
        full: bool,
        /// A suite (`unit`, ...), or `SUITE::PART` for its tests with PART in their name
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Check formatting and lints, on host and BPF, and dependencies
    Lint,
    /// Check the project's own rules: sizes, boundaries, documents
    Tidy,
    /// Load each BPF program and compare its instruction count (root)
    Verifier {
        /// Commit to the counts of now: rewrites tests/datapath/verifier.expect
        #[arg(long)]
        bless: bool,
    },
    /// Count which branches of the packet path the tests take on the host (root)
    Coverage,
    /// Let libFuzzer look for a query for a name that is answered wrongly, until it finds one
    Fuzz {
        /// Of `libFuzzer`, such as `-max_total_time=60`
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENTS"
        )]
        arguments: Vec<OsString>,
    },
    /// Run the tests behind docs/semantics.md, and write it anew
    Semantics,
    /// Check all that must pass before a change lands (root)
    Ci,
}

fn main() -> ExitCode {
    let done = fuzz::in_place_of_rustc().unwrap_or_else(|| verb(Arguments::parse().verb));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn verb(verb: Option<Verb>) -> anyhow::Result<()> {
    match verb {
        None => {
            // That they are listed is an answer, not an error.
            print!("{}", Arguments::command().render_help());
            Ok(())
        }
        Some(Verb::Setup) => setup::run(),
        Some(Verb::Run { command }) => run::run(&command),
        Some(Verb::Bench { arguments }) => bench::run(&arguments),
        Some(Verb::Build { release, is_static }) => build::run(release, is_static),
        Some(Verb::Test { full, names }) => {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            test::run(
                Manner {
                    full,
                    ..Manner::default()
                },
                &names,
            )
            .map(drop)
        }
        Some(Verb::Lint) => lint::run(),
        Some(Verb::Tidy) => tidy::run(),
        Some(Verb::Verifier { bless }) => verifier::run(bless),
        Some(Verb::Coverage) => coverage::run(),
        Some(Verb::Fuzz { arguments }) => fuzz::run(&arguments),
        Some(Verb::Semantics) => semantics::run(),
        Some(Verb::Ci) => ci::run(),
    }
}
