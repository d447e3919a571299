// SPDX-License-Identifier: MIT OR Apache-2.0
//! One guest: its image, its virtual machine, and what its serial console says.

use super::{Kernel, OWN_PROGRAMS, PROGRAMS, image::Image};
use anyhow::{Context as _, bail, ensure};
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

/// From power-on to power-off.
const PATIENCE: Duration = Duration::from_mins(28);

/// What became of a guest.
pub(crate) struct Outcome {
    /// From power-on to power-off, in tenths.
    pub(crate) seconds: f64,
    /// All that its console said.
    pub(crate) console: String,
}

/// Boots a kernel and lets it run the steps.
pub(crate) fn run(kernel: &Kernel, steps: &[(&str, &[&str])]) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let initrd = folder.path().join("initrd");
    fs::write(&initrd, image(kernel, steps)?)?;
    let start = Instant::now();
    let mut machine = boot(kernel, &initrd)?;
    let console = follow(kernel, &console(&mut machine)?, steps);
    // It has ended, or it must.
    let _already_gone = machine.kill();
    machine.wait()?;
    Ok(Outcome {
        seconds: (start.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        console: console?,
    })
}

fn image(kernel: &Kernel, steps: &[(&str, &[&str])]) -> anyhow::Result<Vec<u8>> {
    let mut image = Image::default();
    for folder in ["/dev", "/proc", "/run", "/sys", "/tmp"] {
        image.add_folder(folder);
    }
    image.add_program("guest", Path::new(env!("CARGO_BIN_EXE_weiche-guest")))?;
    for (name, variable) in OWN_PROGRAMS {
        let path = env::var_os(variable);
        let path =
            path.with_context(|| format!("{variable} is not set: use `cargo xtask test`"))?;
        image.add_program(name, Path::new(&path))?;
    }
    // tcpdump looks up the user that it is told to stay, and the one that it becomes by itself.
    image.add(
        "/etc/passwd",
        b"root:x:0:0::/:/bin/sh\ntcpdump:x:1:1::/:/bin/sh\n",
    );
    image.add("/etc/group", b"root:x:0:\ntcpdump:x:1:\n");
    image.add("/init", b"#!/bin/sh\nexec /bin/guest\n");
    for name in PROGRAMS {
        image.add_program(name, &program(name)?)?;
    }
    for entry in fs::read_dir(&kernel.folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "ko") {
            let name = path.file_name().context("a file has a name")?;
            image.add(Path::new("/modules").join(name), &fs::read(&path)?);
        }
    }
    let lines = steps
        .iter()
        .map(|(name, words)| format!("{name}\t{}\n", words.join("\t")));
    image.add("/steps", lines.collect::<String>().as_bytes());
    Ok(image.finish())
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut files = folders.map(|folder| folder.join(name));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("no program {name} on this machine"))
}

fn boot(kernel: &Kernel, initrd: &Path) -> anyhow::Result<Child> {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Never KVM: where it is nested, stock kernels have died in it. One processor: an emulated one
    // may run code that another has just patched, which the kernel takes for a stray breakpoint
    // ("Oops: int3" at boot, seen with two).
    qemu.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024"]);
    qemu.args([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ]);
    qemu.args([
        "-serial",
        "stdio",
        "-append",
        "console=ttyS0 quiet panic=-1",
    ]);
    qemu.arg("-kernel")
        .arg(kernel.folder.join("vmlinuz"))
        .arg("-initrd")
        .arg(initrd);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    qemu.spawn()
        .context("cannot start `qemu-system-x86_64` (package qemu-system-x86)")
}

fn console(machine: &mut Child) -> anyhow::Result<Receiver<String>> {
    let stdout = machine.stdout.take().context("the console is piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// Reads the console until the guest is off; refuses unless it said `ok` of each step.
fn follow(
    kernel: &Kernel,
    console: &Receiver<String>,
    steps: &[(&str, &[&str])],
) -> anyhow::Result<String> {
    let end = Instant::now() + PATIENCE;
    let mut said = Vec::new();
    while let Ok(line) = console.recv_timeout(end.saturating_duration_since(Instant::now())) {
        println!("{}| {line}", kernel.series);
        said.push(line);
    }
    if Instant::now() >= end {
        bail!(
            "still running after {PATIENCE:?}; its last line is {:?}",
            said.last()
        );
    }
    for (name, _) in steps {
        let wanted = format!("guest: {name}: ok");
        ensure!(
            said.contains(&wanted),
            "no `{wanted}` on the console:\n{}",
            said.join("\n")
        );
    }
    Ok(said.join("\n"))
}
