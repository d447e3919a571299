// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel matrix: the same binaries on other kernels, in virtual machines without KVM.
//!
//! `cargo xtask setup` fetches the kernels; `guest.rs` is the first process on them. Emulation is
//! slow: this suite says what is right, never how fast.

mod image;
mod machine;

use anyhow::Context as _;
use std::{env, fs, path::PathBuf, thread};
use tests::{figures, verifier::Counts};

/// What each guest runs: a name for the report, then the program and its arguments.
const STEPS: &[(&str, &[&str])] = &[
    ("kernel", &["uname", "-r"]),
    (
        "type information",
        &["sh", "-c", "read -r x < /sys/kernel/btf/vmlinux"],
    ),
    ("programs", &["datapath", "verifier::", "--nocapture"]),
    (
        "names",
        &[
            "datapath",
            "names::what_is_known_is_answered",
            "names::the_agent_is_shown_what_others_answer_where_it_compares",
        ],
    ),
    (
        "expiry",
        &["datapath", "timers::a_sweep_that_is_started_again_goes_on"],
    ),
    (
        "connections",
        &["node", "cluster_ip::checksums_on_the_wire_are_right"],
    ),
    (
        "direct delivery",
        &["node", "delivery::packets_between_pods_pass_the_stack_by"],
    ),
    (
        "bad road",
        &["node", "road::a_road_loses_doubles_and_mixes_as_it_says"],
    ),
    (
        "kill -9",
        &["node", "restart::a_killed_agent_interrupts_nothing"],
    ),
];

/// Programs of ours, and the variable in which `cargo xtask test` says where they are.
const OWN_PROGRAMS: &[(&str, &str)] = &[
    ("weiche", "WEICHE_BIN"),
    ("datapath", "WEICHE_SUITE_DATAPATH"),
    ("node", "WEICHE_SUITE_NODE"),
];

/// Programs of the host that the steps need besides.
const PROGRAMS: &[&str] = &[
    "ethtool", "ip", "mount", "nsenter", "setpriv", "sh", "sleep", "tc", "tcpdump", "umount",
    "uname",
];

#[test]
fn other_kernels_load_and_serve() {
    figures::check("kernel-matrix", |_| {
        let kernels = kernels()?;
        let results = thread::scope(|scope| {
            let guests: Vec<_> = kernels
                .iter()
                .map(|kernel| scope.spawn(|| machine::run(kernel, STEPS)))
                .collect();
            guests
                .into_iter()
                .map(|guest| guest.join().expect("the thread ends"))
                .collect::<Vec<_>>()
        });
        let mut report = Vec::new();
        let mut consoles = String::new();
        for (kernel, result) in kernels.iter().zip(results) {
            let guest = result.with_context(|| format!("on Linux {}", kernel.series))?;
            report.push((kernel.series, guest.seconds.into()));
            consoles.push_str(&guest.console);
            consoles.push('\n');
        }
        Counts::read(&consoles).check()?;
        Ok(report)
    });
}

/// A kernel to boot.
struct Kernel {
    series: &'static str,
    folder: PathBuf,
}

fn kernels() -> anyhow::Result<Vec<Kernel>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let series = ["6.1", "6.12"].into_iter().map(|series| {
        let folder = root.join("../.tools/kernels").join(series);
        fs::metadata(folder.join("vmlinuz")).with_context(|| {
            format!("no Linux {series} to boot; `cargo xtask setup` fetches it")
        })?;
        Ok(Kernel { series, folder })
    });
    series.collect()
}
