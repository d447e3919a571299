// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes a lab away: its processes, mounts, namespaces and folder. One way for a lab that ends in
//! order and for one whose owner was killed.

use std::{fmt, fs, io, path::Path, str::FromStr};

use anyhow::Context as _;
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{BPFFS, Identity, OWNER, PROCESSES, RUN, ignore_absent, namespace};

/// Removes every lab whose owner no longer lives.
pub(super) fn sweep() -> anyhow::Result<()> {
    for entry in fs::read_dir(RUN).context("reading /run")? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        if owner_pid(&name).is_some_and(|pid| owner_is_dead(&name, pid)) {
            remove(&name).with_context(|| format!("cleaning up what {name} left behind"))?;
        }
    }
    Ok(())
}

/// Removes what belongs to the lab called `name`. Whatever is gone already is fine.
pub(super) fn remove(name: &str) -> anyhow::Result<()> {
    let dir = Path::new(RUN).join(name);
    let noted = fs::read_to_string(dir.join(PROCESSES)).unwrap_or_default();
    for process in noted.lines().filter_map(|line| line.parse().ok()) {
        Identity::kill(process).with_context(|| format!("ending process {process:?}"))?;
    }
    // Pins hold programs on links, so they go before the links' namespaces.
    detach(&dir.join(BPFFS)).context("unmounting the bpffs")?;
    for namespace in namespace::names_beginning(&format!("{name}-"))? {
        namespace::delete(&namespace)?;
    }
    ignore_absent(fs::remove_dir_all(&dir)).with_context(|| format!("removing {}", dir.display()))
}

/// Unmounts what is mounted on `path`, if anything is.
pub(super) fn detach(path: &Path) -> io::Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        // Not mounted here, or mounted only in the mount namespace of the one who made it.
        Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

/// The pid in `weiche-KIND-PID` or `weiche-KIND-PID.NUMBER`; nothing for names that are not ours.
fn owner_pid(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("weiche-")?;
    let (_kind, rest) = rest.split_once('-')?;
    let (pid, number) = rest.split_once('.').unwrap_or((rest, "0"));
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

/// A pid may have been given to somebody else since, so the start time decides. Pids of another
/// PID namespace say nothing here: such labs are left alone.
fn owner_is_dead(name: &str, pid: u32) -> bool {
    let noted = fs::read_to_string(Path::new(RUN).join(name).join(OWNER)).unwrap_or_default();
    match noted.parse::<Owner>() {
        Ok(owner) => {
            let here = Owner::me().is_ok_and(|me| me.pid_namespace == owner.pid_namespace);
            here && Identity::of(pid) != Some(owner.process)
        }
        // Without a note, the owner may be just about to write it.
        Err(_unreadable) => Identity::of(pid).is_none(),
    }
}

/// Who made a lab, as its folder says.
pub(super) struct Owner {
    process: Identity,
    /// What `/proc/self/ns/pid` points to.
    pid_namespace: String,
}

impl Owner {
    pub(super) fn me() -> anyhow::Result<Self> {
        let pid_namespace = fs::read_link("/proc/self/ns/pid").context("reading /proc/self/ns")?;
        Ok(Self {
            process: Identity::of(std::process::id()).context("this process is not in /proc")?,
            pid_namespace: pid_namespace.display().to_string(),
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n", self.process, self.pid_namespace)
    }
}

impl FromStr for Owner {
    type Err = anyhow::Error;

    fn from_str(note: &str) -> anyhow::Result<Self> {
        let (process, pid_namespace) = note.trim().split_once('\n').context("not two lines")?;
        Ok(Self {
            process: process.parse()?,
            pid_namespace: pid_namespace.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::owner_pid;

    #[test]
    fn only_names_of_labs_have_an_owner() {
        let rows = [
            ("weiche-demo-4711", Some(4711)),
            ("weiche-test-4711.12", Some(4711)),
            ("weiche-demo-4711-client", None),
            ("weiche-demo-x", None),
            ("weiche-test-4711.x", None),
            ("weiche", None),
            ("lock", None),
        ];
        for (name, pid) in rows {
            assert_eq!(owner_pid(name), pid, "{name}");
        }
    }
}
