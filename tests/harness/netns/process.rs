// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that are told apart from later ones with the same pid, and children that end with
//! the value that holds them.

use std::{
    fmt, fs,
    process::{Child, Command, ExitStatus},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::wait;

/// A process: its pid and when it began, in clock ticks since the machine's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The pid.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

impl Identity {
    /// The process that has this pid now; nothing if there is none.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, field 2, is in brackets and may hold anything, brackets and blanks included.
        let (_, fields) = stat.rsplit_once(')')?;
        let start_ticks = fields.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start_ticks })
    }

    /// Kills the process if it is still the one that was noted, and waits until it has ended.
    pub fn kill(self) -> std::io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        // The pidfd holds on to one process, so nothing can change between looking and killing.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(()),
            other => other?,
        };
        if Self::of(self.pid) != Some(self) {
            return Ok(());
        }
        match pidfd_send_signal(&handle, Signal::KILL) {
            Err(Errno::SRCH) => return Ok(()),
            other => other?,
        }
        let what = format!("process {} to end", self.pid);
        let ended = wait::until(&what, Duration::from_secs(5), || {
            (!self.lives()).then_some(())
        });
        ended.map_err(std::io::Error::other)
    }

    /// Whether it still runs. One that only waits for its parent to take notice does not.
    fn lives(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .map_or("", |(_, fields)| fields.trim_start());
        Self::of(self.pid) == Some(self) && !state.starts_with(['Z', 'X'])
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.start_ticks)
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let (pid, start) = line.trim().split_once(' ').context("not `PID TICKS`")?;
        let (pid, start_ticks) = (pid.parse()?, start.parse()?);
        Ok(Self { pid, start_ticks })
    }
}

/// A child that is killed and reaped when the value goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command.
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child })
    }

    /// The child, for its pipes and its pid.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal and does not wait.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| anyhow!("pid {} is none", self.child.id()))?;
        // Not reaped before `wait`, so the pid is still this child's.
        rustix::process::kill_process(pid, signal).context("signalling a child")
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait().context("waiting for a child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Failure means that it has just ended by itself.
            let _ended = self.child.kill();
            let _status = self.child.wait();
        }
    }
}
