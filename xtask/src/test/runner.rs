// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one suite: its binaries one after the other, each with a time limit, those of privileged
//! suites in namespaces of their own, so that whatever they leave behind vanishes with them.

use super::{
    Manner,
    artifacts::Binary,
    figures::Report,
    suites::{Chosen, UNIT},
    summary::Summary,
};
use crate::{coverage, process, step::Stopwatch, workspace};
use anyhow::{Context as _, bail, ensure};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

/// All binaries of a suite; the first that fails does not keep the others from running.
pub(super) fn run(
    chosen: &Chosen,
    binaries: &[Binary],
    report: &Report,
    manner: Manner,
) -> anyhow::Result<Summary> {
    let mut total = Summary::default();
    let mut failed = Vec::new();
    for binary in binaries
        .iter()
        .filter(|binary| binary.suite == chosen.suite.name)
    {
        println!("--> {}", binary.target);
        let mut command = command(chosen, binary);
        for suite in binaries.iter().filter(|other| other.suite != UNIT) {
            let variable = format!("WEICHE_SUITE_{}", suite.suite.to_uppercase());
            command.env(variable, &suite.path);
        }
        report.hand_to(&mut command, manner.full);
        if manner.instrumented {
            coverage::hand_to(&mut command);
        }
        if manner.bless {
            command.env("WEICHE_BLESS", "1");
        }
        if manner.directly {
            command.env("WEICHE_DIRECT_DELIVERY", "on");
        }
        if manner.shown {
            command.arg("--nocapture");
        }
        let limit = (!manner.full).then_some(chosen.suite.limit);
        match run_binary(&mut command, limit) {
            Ok(summary) => total += summary,
            Err(error) => failed.push(format!("{}: {error:#}", binary.target)),
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    total.check_complete(chosen.part.is_some())?;
    Ok(total)
}

/// Prepares the namespaces, then runs the binary and passes its status on. The shell stays, as the
/// first process of the PID namespace, and inherits what tests leave behind. `/run` is private as
/// well: tests look there for what dead owners left, and processes outside seem dead from inside.
const INIT: &str = "mount -t bpf bpf /sys/fs/bpf && mount -t tmpfs tmpfs /run \
    && ip link set lo up && \"$@\"; exit $?";

fn command(chosen: &Chosen, binary: &Binary) -> Command {
    let mut command = if chosen.suite.privileged {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "--propagation", "private"]);
        // With the first process of a PID namespace all others end.
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        unshare.args(["sh", "-c", INIT, "sh"]).arg(&binary.path);
        unshare
    } else {
        Command::new(&binary.path)
    };
    command.args(chosen.part.iter());
    command.current_dir(workspace::root().join("tests"));
    command.env("WEICHE_BIN", workspace::binary("weiche"));
    command.env("WEICHE_DEMO_BIN", workspace::binary("weiche-demo"));
    command
}

fn run_binary(command: &mut Command, limit: Option<Duration>) -> anyhow::Result<Summary> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let written = process::written(command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{written}`"))?;
    let lines = lines(&mut child)?;
    let summary = follow(&lines, limit);
    if summary.is_err() {
        // Also ends what it started: see INIT.
        child.kill()?;
    }
    let status = child.wait()?;
    let summary = summary?;
    ensure!(
        status.success(),
        "{summary}, {status}; to repeat it: `{written}`"
    );
    ensure!(
        summary.binaries == 1,
        "ended without a summary of its tests ({status})"
    );
    Ok(summary)
}

/// Shows the output and sums it up, until it ends or the time is over.
fn follow(lines: &Receiver<String>, limit: Option<Duration>) -> anyhow::Result<Summary> {
    let watch = Stopwatch::start();
    let mut summary = Summary::default();
    let mut last = String::from("nothing");
    loop {
        let left = limit
            .unwrap_or(Duration::MAX)
            .saturating_sub(watch.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                println!("{line}");
                summary += Summary::parse(&line).unwrap_or_default();
                last = line;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(summary),
            Err(RecvTimeoutError::Timeout) => {
                bail!("still running after {left:?}: ended; its last line was `{last}`")
            }
        }
    }
}

fn lines(child: &mut Child) -> anyhow::Result<Receiver<String>> {
    let stdout = child.stdout.take().context("the output is piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::run_binary;
    use std::{process::Command, time::Duration};

    fn outcome(script: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        match run_binary(&mut shell, Some(Duration::from_secs(1))) {
            Ok(summary) => summary.to_string(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let ok = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; \
                  0 filtered out; finished in 0.00s'";
        for (script, expected) in [
            (ok.to_owned(), "2 passed"),
            (format!("{ok}; exit 101"), "exit status: 101"),
            ("exit 0".to_owned(), "without a summary"),
            (
                "echo test slow; exec sleep 60".to_owned(),
                "its last line was `test slow`",
            ),
        ] {
            let outcome = outcome(&script);
            assert!(outcome.contains(expected), "{script}: {outcome}");
        }
    }
}
