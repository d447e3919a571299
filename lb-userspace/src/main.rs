// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche`: arguments in, exit code out.

mod cli;

use clap::Parser as _;
use cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Ends with code 2 and a hint on wrong usage.
    let cli = Cli::parse();
    match cli.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Causes follow on the same line, the way shells print them.
            eprintln!("weiche: {error:#}");
            ExitCode::FAILURE
        }
    }
}
