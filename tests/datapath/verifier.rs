// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every program loads, and none costs the verifier much more than was committed.

use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, programs::Program};
use lb_userspace::datapath::OBJECT;
use tests::verifier::Counts;

#[test]
fn programs_cost_the_verifier_what_was_committed() -> Result<()> {
    let counts = counts()?;
    // `cargo xtask verifier` shows it; the kernel matrix reads it from a guest's console.
    // On lines of its own: libtest may have begun one.
    print!("\n{}", counts.lines());
    // In a guest there is nothing to compare with: the host does it.
    if tests::guest::is_emulated() {
        return Ok(());
    }
    counts.check()
}

fn counts() -> Result<Counts> {
    let series = series()?;
    let mut ebpf = Ebpf::load(OBJECT).context("loading the object; this needs root")?;
    let mut counts = Counts::default();
    for (name, program) in ebpf.programs_mut() {
        let loaded = match program {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            _ => bail!("{name} is for no hook of ours"),
        };
        loaded.with_context(|| format!("loading {name}"))?;
        let count = program.info()?.verified_instruction_count();
        let count = count.context("this kernel does not say how much it verified")?;
        counts.add(&series, name, count.into());
    }
    Ok(counts)
}

/// `6.1` of `6.1.0-56-cloud-amd64`.
fn series() -> Result<String> {
    let uname = rustix::system::uname();
    let release = uname.release().to_str()?;
    let mut numbers = release.split(['.', '-']);
    let (major, minor) = (numbers.next(), numbers.next());
    Ok(format!(
        "{}.{}",
        major.context("no release")?,
        minor.context("no release")?
    ))
}
