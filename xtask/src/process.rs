// SPDX-License-Identifier: MIT OR Apache-2.0
//! How other programs are started, and what is said when one fails.

use anyhow::{Context as _, bail};
use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

/// Runs a program on our own terminal.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed ({status})", written(command));
    }
    Ok(())
}

/// What a program prints on its standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            written(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program, shows what it says indented as it comes, and puts the end of it into the error.
pub(crate) fn run_shown(command: &mut Command) -> anyhow::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| cannot_start(command))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = std::thread::scope(|scope| {
        scope.spawn(|| stdout.map(show));
        stderr.map(show).unwrap_or_default()
    });
    let status = child.wait().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed ({status}):\n{said}", written(command));
    }
    Ok(())
}

/// Whether a program of that name is there; `/sbin` counts even where PATH lacks it.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    let folders = folders.chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .into_iter()
        .any(|folder| folder.join(program).is_file())
}

/// Whether we may do what only root may.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// Refuses in a sentence when we are not root.
pub(crate) fn need_root(verb: &str, why: &str) -> anyhow::Result<()> {
    if !is_root() {
        bail!("`cargo xtask {verb}` needs root: {why}. Run it as root, e.g. from `sudo -s`");
    }
    Ok(())
}

/// The command line as a person would type it.
pub(crate) fn written(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Enough of the end of an output to see the cause.
const LAST_LINES: usize = 20;

fn show(stream: impl Read) -> String {
    let mut last = std::collections::VecDeque::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        eprintln!("    {line}");
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", written(command))
}
