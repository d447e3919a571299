// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche`: arguments in, exit code out.

mod cli;

use clap::Parser as _;
use cli::Cli;
use lb_userspace::{
    causes::with_causes, config::BadConfig, explain::BadQuestion, port_forward::BadRequest,
};
use std::process::ExitCode;

/// As clap has it.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    // Ends with code 2 and a hint on wrong usage.
    let cli = Cli::parse();
    match cli.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Causes follow on the same line, the way shells print them.
            eprintln!("weiche: {}", with_causes(&*error));
            let is_usage = error.is::<BadConfig>() || error.is::<BadQuestion>();
            if is_usage || error.is::<BadRequest>() {
                return ExitCode::from(WRONG_USAGE);
            }
            ExitCode::FAILURE
        }
    }
}
