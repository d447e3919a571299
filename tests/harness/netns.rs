// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes and pods made of network namespaces, for the node suite and the demo.
//!
//! A [`Lab`] owns everything that one test or one demo makes outside its own memory: namespaces,
//! a runtime folder, a bpffs, processes. It goes away with the value, also after a panic; what a
//! killed owner left behind is taken away by the next [`Lab::new`]. It does not know what the
//! namespaces are for: [`Node`] and [`Pod`] give them roles.

mod node;
mod namespace;
mod process;
mod leftovers;

use std::{
    ffi::CStr,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, bail, ensure};
pub use namespace::Namespace;
pub use node::{Node, Outside, Pod, RpFilter};
pub use process::{Identity, Process};

/// The folder of a lab is `RUN/NAME`, and each of its namespaces is called `NAME-LABEL`.
const RUN: &str = "/run";
const BPFFS: &str = "bpf";
const OWNER: &str = "owner";
const PROCESSES: &str = "processes";

/// One test's or one demo's share of the machine.
#[derive(Debug)]
pub struct Lab {
    name: String,
    dir: PathBuf,
}

impl Lab {
    /// Makes an empty lab called `weiche-KIND-PID`, after taking away what dead owners left.
    ///
    /// Further labs of one process are called `weiche-KIND-PID.1` and so on, so that no name is
    /// a prefix of another one's namespaces.
    pub fn new(kind: &str) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ensure!(
            rustix::process::geteuid().is_root(),
            "making network namespaces needs root: run it as root or through `sudo`"
        );
        leftovers::sweep()?;
        let pid = std::process::id();
        let lab = loop {
            let name = match COUNT.fetch_add(1, Ordering::Relaxed) {
                0 => format!("weiche-{kind}-{pid}"),
                number => format!("weiche-{kind}-{pid}.{number}"),
            };
            let dir = Path::new(RUN).join(&name);
            match fs::create_dir(&dir) {
                Ok(()) => break Self { name, dir },
                // Of a process in another PID namespace, which may have our pid.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => bail!("making {}: {error}", dir.display()),
            }
        };
        let owner = leftovers::Owner::me()?;
        fs::write(lab.dir.join(OWNER), owner.to_string()).context("writing the owner's file")?;
        Ok(lab)
    }

    /// The lab's name, unique on the machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lab's own folder, for files that may vanish with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a network namespace called `NAME-LABEL`, with loopback up.
    pub fn namespace(&self, label: &str) -> anyhow::Result<Namespace> {
        Namespace::create(&format!("{}-{label}", self.name))
    }

    /// Mounts a bpffs of the lab's own; what is pinned there vanishes with the lab.
    pub fn mount_bpffs(&self) -> anyhow::Result<PathBuf> {
        let dir = self.dir.join(BPFFS);
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("bpf", &dir, "bpf", flags, None::<&CStr>)
            .with_context(|| format!("mounting a bpffs on {}", dir.display()))?;
        Ok(dir)
    }

    /// Notes a child process, so that it is ended with the lab even if this process is killed.
    pub fn adopt(&self, pid: u32) -> anyhow::Result<()> {
        // A child that has ended already needs no note.
        let Some(identity) = Identity::of(pid) else {
            return Ok(());
        };
        let path = self.dir.join(PROCESSES);
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(path)?;
        writeln!(file, "{identity}").context("noting a child process")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = leftovers::remove(&self.name) {
            eprintln!("cleaning up after {}: {error:#}", self.name);
        }
    }
}

/// Absent is as good as removed.
fn ignore_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
