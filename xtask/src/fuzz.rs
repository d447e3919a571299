// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask fuzz`: libFuzzer looks for a query that is answered in two ways, or not as it
//! should be (tests/fuzz), beginning with the queries that the tests have.
//!
//! It needs no nightly compiler: that a program says which of its branches were taken is not
//! unstable, only its sanitizers are. `cargo +nightly fuzz` works as well.

use crate::{process, setup, step, toolchain, workspace};
use anyhow::Context as _;
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    process::Command,
};

/// What makes the compiler note the branches taken, as libFuzzer reads it.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The crates whose branches are noted. All notes are read and cleared after each query, which took
/// half of the time when those of everything that is linked were among them.
const WATCHED: [&str; 4] = ["hickory_proto", "lb_common", "lb_userspace", "tests"];
/// Set where cargo starts us in the compiler's place: it has no other way to give flags to some
/// crates alone.
const IN_PLACE: &str = "WEICHE_FUZZ_IN_PLACE_OF_RUSTC";

/// Queries, one a line, in hexadecimal digits.
const CORPUS: &str = "tests/datapath/names/corpus.txt";
/// More bytes than any query has that is read to its end.
const LONGEST: &str = "-max_len=768";
/// What takes long is tried less often.
const CHEAP: &str = "-entropic_scale_per_exec_time=1";

/// Builds the fuzzer and runs it until it finds something, or as its arguments say.
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<()> {
    setup::tools()?;
    // With everything compiled for the fuzzer, nothing here is of use to other builds.
    let target = workspace::target().join("fuzz");
    let corpus = target.join("corpus");
    unpack(&corpus)?;
    step::step("building the fuzzer", || process::run(&mut build(&target)?))?;
    let mut fuzzer = Command::new(target.join(host()?).join("release/names"));
    fuzzer.arg(corpus).args([LONGEST, CHEAP]).args(arguments);
    process::run(fuzzer.current_dir(&target))
}

/// Compiles one crate, if it is cargo that asks: the arguments are the compiler's, itself first.
pub(crate) fn in_place_of_rustc() -> Option<anyhow::Result<()>> {
    env::var_os(IN_PLACE)?;
    let mut arguments = env::args_os().skip(1);
    let mut rustc = Command::new(arguments.next()?);
    let arguments: Vec<OsString> = arguments.collect();
    if is_watched(&arguments) {
        rustc.args(COVERAGE);
    }
    Some(process::run(rustc.args(arguments)))
}

fn is_watched(arguments: &[OsString]) -> bool {
    let mut after = arguments.iter().skip_while(|it| *it != "--crate-name");
    let name = after.nth(1).map(OsString::as_os_str);
    WATCHED.map(OsStr::new).iter().any(|it| Some(*it) == name)
}

fn build(target: &Path) -> anyhow::Result<Command> {
    let mut cargo = toolchain::tool("cargo");
    cargo.args([
        "build",
        "--release",
        "--manifest-path",
        "tests/fuzz/Cargo.toml",
    ]);
    // With a target, build scripts are compiled without these flags.
    cargo
        .args(["--target", &host()?])
        .arg("--target-dir")
        .arg(target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=fuzzing");
    cargo
        .env("RUSTC_WRAPPER", env::current_exe()?)
        .env(IN_PLACE, "1");
    // Nothing is loaded into the kernel.
    cargo.env("AYA_BUILD_SKIP", "1");
    Ok(cargo)
}

/// A file for each query; what the fuzzer has added stays.
fn unpack(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let text = fs::read_to_string(workspace::root().join(CORPUS));
    let text = text.with_context(|| format!("reading {CORPUS}"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for (number, line) in lines.enumerate() {
        let bytes = unhex(line).with_context(|| format!("{CORPUS}: {line}"))?;
        fs::write(folder.join(format!("of-the-tests-{number}")), bytes)?;
    }
    Ok(())
}

fn unhex(line: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = line.trim().as_bytes().chunks(2);
    let bytes = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    bytes.collect()
}

/// What this machine's programs are built for.
fn host() -> anyhow::Result<String> {
    let said = process::output(toolchain::tool("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{is_watched, unhex};

    #[test]
    fn what_answers_is_watched() {
        for (line, expected) in [
            ("--crate-name hickory_proto --edition=2024", true),
            ("--edition=2024 --crate-name tests x.rs", true),
            ("--crate-name build_script_build", false),
            ("--crate-name tokio", false),
            ("-vV", false),
            ("--crate-name", false),
        ] {
            let arguments: Vec<_> = line.split(' ').map(Into::into).collect();
            assert_eq!(is_watched(&arguments), expected, "{line}");
        }
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(unhex("00ff7e").ok(), Some(vec![0, 255, 126]));
        assert!(unhex("0g").is_err());
    }
}
