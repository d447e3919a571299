// SPDX-License-Identifier: MIT OR Apache-2.0
//! One network namespace: made, entered, configured, deleted.

use std::{
    ffi::OsStr,
    fs::{self, File},
    future::Future,
    io::Write as _,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{ignore_absent, leftovers::detach};
use crate::wait;

/// Where `ip netns` keeps them, and where `nsenter --net=` finds them.
const RUN_NETNS: &str = "/run/netns";

/// A network namespace with loopback up; deleted when the value goes.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(super) fn create(name: &str) -> anyhow::Result<Self> {
        ip(None, &format!("netns add {name}\n"))?;
        let namespace = Self { name: name.into() };
        // Settings of IPv4 are inherited from the machine's own: say what matters.
        namespace.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
        namespace.sysctl("net/ipv4/conf/default/rp_filter", "0")?;
        // Duplicate address detection would keep addresses tentative for a second.
        namespace.sysctl("net/ipv6/conf/all/accept_dad", "0")?;
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        namespace.ip("link set lo up\n")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, for `nsenter --net=PATH`.
    pub fn path(&self) -> PathBuf {
        Path::new(RUN_NETNS).join(&self.name)
    }

    /// Runs lines of `ip` commands inside it, in one process.
    pub fn ip(&self, batch: &str) -> anyhow::Result<()> {
        ip(Some(&self.name), batch)
    }

    /// Runs `work` on a fresh thread inside it and returns its result. Sockets that are made
    /// there stay there, whoever uses them afterwards.
    ///
    /// # Panics
    ///
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let file = self.open()?;
        thread::scope(|scope| {
            let entered = scope.spawn(|| enter(&file).map(|()| work()));
            match entered.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a future to its end on a fresh thread inside it, with a runtime of its own. Tasks that
    /// it spawns stay on that thread and so inside; `spawn_blocking` would not.
    ///
    /// # Panics
    ///
    /// When the future does.
    pub fn block_on<F: Future>(&self, make: impl FnOnce() -> F + Send) -> anyhow::Result<F::Output>
    where
        F::Output: Send,
    {
        self.run(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().context("starting a runtime")?;
            Ok(runtime.block_on(make()))
        })?
    }

    /// Like [`Self::block_on`] with a thread of its own that the caller joins later.
    pub fn spawn<F: Future>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> anyhow::Result<thread::JoinHandle<anyhow::Result<F::Output>>>
    where
        F::Output: Send + 'static,
    {
        let file = self.open()?;
        Ok(thread::spawn(move || {
            enter(&file)?;
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().context("starting a runtime")?;
            Ok(runtime.block_on(make()))
        }))
    }

    /// A command that runs inside it, under the pid of the child, and is killed when the thread
    /// that started it ends.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // `ip netns exec` would hide /sys/fs/bpf behind a fresh /sys.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]);
        command.arg(format!("--net={RUN_NETNS}/{}", self.name));
        command.arg("--").arg(program);
        command
    }

    /// Sets `/proc/sys/KEY` inside it.
    pub fn sysctl(&self, key: &str, value: &str) -> anyhow::Result<()> {
        let path = Path::new("/proc/sys").join(key);
        // /proc/sys/net shows the namespace of the thread that opens the file.
        self.run(|| fs::write(&path, value))?
            .with_context(|| format!("setting {} to {value} in {}", path.display(), self.name))
    }

    /// Waits until a link passes packets: for some milliseconds after it was set up, the kernel
    /// still drops what is sent on it.
    pub fn wait_for_link(&self, link: &str) -> anyhow::Result<()> {
        let what = format!("link {link} in {}", self.name);
        let show = ["-n", &self.name, "-o", "link", "show", "dev", link];
        wait::until(&what, Duration::from_secs(10), || {
            let output = Command::new("ip").args(show).output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout);
            text.contains("state UP").then_some(())
        })
    }

    /// Makes checksums on `link` complete: with offload on, TCP and UDP over veth carry only the
    /// pseudo-header's sum, and the receiver trusts it.
    pub fn tx_offload_off(&self, link: &str) -> anyhow::Result<()> {
        self.set_feature(link, "tx", "off")
    }

    /// Has `link`, one end of a veth link, take frames that XDP at the other end sends it: it does
    /// not without a ring of its own, which it has for GRO as well (`veth_xdp_xmit`).
    pub fn take_xdp_frames(&self, link: &str) -> anyhow::Result<()> {
        self.set_feature(link, "gro", "on")
    }

    /// Has it take none again.
    pub fn leave_xdp_frames(&self, link: &str) -> anyhow::Result<()> {
        self.set_feature(link, "gro", "off")
    }

    fn set_feature(&self, link: &str, feature: &str, state: &str) -> anyhow::Result<()> {
        let mut command = self.command("ethtool");
        command
            .args(["-K", link, feature, state])
            .stdout(Stdio::null());
        let status = command.status().context("starting ethtool")?;
        ensure!(
            status.success(),
            "ethtool -K {link} {feature} {state}: {status}"
        );
        Ok(())
    }

    fn open(&self) -> anyhow::Result<File> {
        File::open(self.path()).with_context(|| format!("opening namespace {}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.name) {
            eprintln!("{error:#}");
        }
    }
}

/// Names of all namespaces that begin so.
pub(super) fn names_beginning(prefix: &str) -> anyhow::Result<Vec<String>> {
    if !Path::new(RUN_NETNS).exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(RUN_NETNS).context("reading /run/netns")?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// Deletes a namespace's name. The namespace itself goes with its last process and socket.
pub(super) fn delete(name: &str) -> anyhow::Result<()> {
    let path = Path::new(RUN_NETNS).join(name);
    detach(&path).with_context(|| format!("unmounting {}", path.display()))?;
    ignore_absent(fs::remove_file(&path)).with_context(|| format!("removing {}", path.display()))
}

fn enter(file: &File) -> anyhow::Result<()> {
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .context("entering a network namespace")
}

/// Runs lines of `ip` commands; the first that fails ends it.
pub(super) fn ip(namespace: Option<&str>, batch: &str) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .context("starting `ip` (package iproute2)")?;
    let mut stdin = child.stdin.take().context("no pipe to `ip`")?;
    // A broken pipe means that `ip` gave up; its message says why.
    let _written = stdin.write_all(batch.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().context("waiting for `ip`")?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("`ip -batch` with\n{batch}failed: {}", message.trim());
    }
    Ok(())
}
