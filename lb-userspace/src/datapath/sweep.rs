// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starting the sweep, which ends flows in the kernel from then on, whether we live or not.

use super::load::{LoadError, SWEEP, classifier};
use aya::{
    Ebpf,
    programs::{ProgramError, TestRun as _, TestRunOptions},
};
use std::{io, thread, time::Duration};

/// Flows would never end.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The program that starts it is not there.
    #[error(transparent)]
    Program(#[from] LoadError),
    /// The program cannot be run.
    #[error("running {SWEEP}, which starts the sweep of ended flows")]
    Run(#[source] Box<ProgramError>),
    /// The kernel has no timer to give.
    #[error(
        "the kernel gave no timer for the sweep of ended flows, {ATTEMPTS} times in a row: without \
         one the tables of flows would fill up. Start again, with more free memory if it has none"
    )]
    Timer(#[source] io::Error),
}

/// `bpf_timer_init` allocates without waiting, and may fail for a moment.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Starts it over the maps that the programs were loaded with, or lets these programs go on with
/// it where older ones have started it.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when the kernel has memory again"
)]
pub(super) fn start(ebpf: &mut Ebpf) -> Result<(), SweepError> {
    let mut last = 0;
    for _attempt in 0..ATTEMPTS {
        last = run(ebpf)?;
        if last == 0 {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Err(SweepError::Timer(io::Error::from_raw_os_error(-last)))
}

/// What the program returns: 0, or the kernel's error.
fn run(ebpf: &mut Ebpf) -> Result<i32, SweepError> {
    /// An Ethernet header: the kernel runs no program without a packet.
    const PACKET: [u8; 14] = [0; 14];
    let program = classifier(ebpf, SWEEP)?;
    let run = TestRunOptions {
        data_in: Some(&PACKET),
        ..TestRunOptions::default()
    };
    let result = program
        .test_run(run)
        .map_err(|cause| SweepError::Run(Box::new(cause)))?;
    Ok(result.return_value.cast_signed())
}
