// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask coverage`: which branches of the packet path the tests take on the host.
//!
//! A branch is one side of a condition of the source. It counts as taken if any test takes it, in
//! whichever family: the code is generic, and stands once in the source.

use crate::{
    process, setup, step,
    test::{self, Manner},
    workspace,
};
use anyhow::{Context as _, bail, ensure};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Whose branches are counted.
const SOURCES: &str = "lb-common/src/";
/// What runs them on the host: tests beside the code and of the crate, and the datapath suite,
/// half of which is on the host.
const SUITES: [&str; 2] = ["unit", "datapath"];
/// Of a hundred branches, so many at least are taken.
const LEAST_PERCENT: u64 = 95;

/// How often each branch of a file was taken, by line, block and branch.
type Branches = BTreeMap<[u64; 3], u64>;

/// Builds the tests so that they count, runs them, and shows the table by file.
pub(crate) fn run() -> anyhow::Result<()> {
    let tools = setup::llvm_tools()?;
    let counts = folder();
    if counts.exists() {
        fs::remove_dir_all(&counts)?;
    }
    fs::create_dir_all(&counts).with_context(|| format!("cannot make {}", counts.display()))?;
    let manner = Manner {
        instrumented: true,
        ..Manner::default()
    };
    let binaries = test::run(manner, &SUITES)?;
    let report = step::step("reading what was counted", || {
        export(&tools, &merge(&tools, &counts)?, &binaries)
    })?;
    judge(&read(&report))
}

/// What an instrumented test gets, so that it writes its counts there and nowhere else.
pub(crate) fn hand_to(suite: &mut Command) {
    suite.env("LLVM_PROFILE_FILE", folder().join("%m-%p.profraw"));
}

/// Has the compiler called by way of `.cargo/instrument`.
pub(crate) fn instrument(cargo: &mut Command) {
    let wrapper = workspace::root().join(".cargo/instrument");
    cargo.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
}

fn folder() -> PathBuf {
    workspace::target().join("coverage")
}

/// All processes' counts in one file.
fn merge(tools: &Path, counts: &Path) -> anyhow::Result<PathBuf> {
    let merged = counts.join("all.profdata");
    let mut command = Command::new(tools.join("llvm-profdata"));
    command.args(["merge", "--sparse", "--output"]).arg(&merged);
    for entry in fs::read_dir(counts)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "profraw") {
            command.arg(path);
        }
    }
    process::run(&mut command)?;
    Ok(merged)
}

/// The counts by place in the source, in the form of lcov.
fn export(tools: &Path, merged: &Path, binaries: &[PathBuf]) -> anyhow::Result<String> {
    let mut command = Command::new(tools.join("llvm-cov"));
    command.args(["export", "--format=lcov", "--instr-profile"]);
    command.arg(merged);
    for binary in binaries {
        command.arg("--object").arg(binary);
    }
    process::output(&mut command)
}

/// The branches of each file of ours (lcov's geninfo(1): `SF` begins a file, `BRDA` is a branch).
fn read(report: &str) -> BTreeMap<String, Branches> {
    let mut files = BTreeMap::<String, Branches>::new();
    let mut file = None;
    for line in report.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let of_ours = path.split_once(SOURCES);
            file = of_ours.map(|(_, name)| files.entry(name.to_owned()).or_default());
        }
        let branch = line.strip_prefix("BRDA:").and_then(branch);
        if let (Some(branches), Some((place, taken))) = (&mut file, branch) {
            *branches.entry(place).or_default() += taken;
        }
    }
    files
}

/// `LINE,BLOCK,BRANCH,TAKEN`; nothing was counted where `-` stands.
fn branch(text: &str) -> Option<([u64; 3], u64)> {
    let mut cells = text.split(',');
    let mut place = [0; 3];
    for number in &mut place {
        *number = cells.next()?.parse().ok()?;
    }
    Some((place, cells.next()?.parse().unwrap_or(0)))
}

/// Shows the table, and refuses when too few branches were taken.
fn judge(files: &BTreeMap<String, Branches>) -> anyhow::Result<()> {
    let mut total = [0, 0];
    println!("{:28}{:>10}{:>8}{:>9}", "file", "branches", "taken", "");
    for (name, branches) in files.iter().filter(|(_, branches)| !branches.is_empty()) {
        let [taken, all] = counted(branches);
        total = [total[0] + taken, total[1] + all];
        let missed = branches.iter().filter(|(_, taken)| **taken == 0);
        let lines: Vec<_> = missed.map(|([line, ..], _)| line.to_string()).collect();
        let missed = if lines.is_empty() {
            String::new()
        } else {
            format!("  not taken: {}", lines.join(" "))
        };
        println!(
            "{name:28}{all:>10}{taken:>8}{:>9}{missed}",
            percent(taken, all)
        );
    }
    let [taken, all] = total;
    println!("{:28}{all:>10}{taken:>8}{:>9}", "all", percent(taken, all));
    ensure!(all > 0, "no branch of {SOURCES} was counted");
    if taken * 100 < all * LEAST_PERCENT {
        bail!("{} is less than {LEAST_PERCENT} %", percent(taken, all));
    }
    Ok(())
}

/// How many branches were taken, of how many.
fn counted(branches: &Branches) -> [u64; 2] {
    let taken = branches.values().filter(|taken| **taken > 0).count();
    [taken, branches.len()].map(|count| u64::try_from(count).unwrap_or(u64::MAX))
}

/// As people read it, rounded down.
fn percent(taken: u64, all: u64) -> String {
    let tenths = (taken * 1_000).checked_div(all).unwrap_or(0);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{counted, judge, percent, read};

    const REPORT: &str = "SF:/w/lb-common/src/parse.rs\nBRDA:3,0,0,5\nBRDA:3,0,1,-\nDA:3,5\n\
        end_of_record\nSF:/w/tests/harness/x.rs\nBRDA:1,0,0,0\nend_of_record\n\
        SF:lb-common/src/parse.rs\nBRDA:3,0,1,0\nBRDA:9,0,0,1\nend_of_record\n";

    #[test]
    fn branches_are_those_of_the_packet_path() {
        let files = read(REPORT);
        assert_eq!(files.len(), 1);
        assert_eq!(counted(&files["parse.rs"]), [2, 3]);
    }

    #[test]
    fn too_few_are_refused() {
        assert!(judge(&read(REPORT)).is_err(), "two of three");
        assert!(judge(&read("")).is_err(), "none at all");
        let enough = REPORT.replace("BRDA:3,0,1,0", "BRDA:3,0,1,7");
        assert!(judge(&read(&enough)).is_ok());
        assert_eq!(percent(1_999, 2_000), "99.9 %");
    }
}
