// SPDX-License-Identifier: MIT OR Apache-2.0
//! A start that is refused says why, by its exit code as well, and leaves nothing behind.

use std::fs;

use anyhow::ensure;
use tests::netns::{Lab, Node, RpFilter};

use crate::scene::program;

/// What is given, with words in capitals for paths; how it ends; what is said.
const ROWS: [(&str, i32, &str); 9] = [
    ("--manifests MISSING", 1, "--manifests"),
    ("--manifests EMPTY --pin-dir FULL", 1, "ordinary folder"),
    ("--kubeconfig MISSING", 1, "kubeconfig"),
    ("--kubeconfig BROKEN", 1, "kubeconfig"),
    (
        "--manifests EMPTY --seed-file MISSING",
        1,
        "reading the seed",
    ),
    ("--config BROKEN", 1, "is not YAML"),
    ("--manifests EMPTY --flows 0", 2, "--flows 0"),
    ("--manifests EMPTY --backends 1", 2, "--backends 1"),
    (
        "--manifests EMPTY --service-cidr 0.0.0.0/0",
        2,
        "--service-cidr 0.0.0.0/0",
    ),
];

#[test]
fn a_start_that_is_refused_makes_nothing() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let pins = lab.mount_bpffs()?.join("weiche");
    let node = Node::new(&lab, RpFilter::Off)?;
    let dir = lab.dir().to_owned();
    let state = dir.join("state");
    fs::create_dir(dir.join("EMPTY"))?;
    fs::create_dir(dir.join("FULL"))?;
    fs::write(dir.join("FULL/precious"), "kept")?;
    fs::write(dir.join("BROKEN"), "no: [yaml")?;
    for (given, code, said) in ROWS {
        let mut command = node.namespace.command(program()?);
        command.arg("run").arg("--state-dir").arg(&state);
        if !given.contains("--pin-dir") {
            command.arg("--pin-dir").arg(&pins);
        }
        command.args(given.split(' ').map(|word| {
            let is_path = word.chars().all(|letter| letter.is_ascii_uppercase());
            if is_path {
                dir.join(word).into_os_string()
            } else {
                word.into()
            }
        }));
        let output = command.output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{given}: {words}");
        assert!(words.contains(said), "{given}: {words}");
        for made in [&state, &pins] {
            ensure!(!made.exists(), "{given} has made {}", made.display());
        }
    }
    assert_eq!(fs::read_to_string(dir.join("FULL/precious"))?, "kept");
    Ok(())
}

#[test]
fn a_log_in_json_is_one_object_a_line() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let mut command = node.namespace.command(program()?);
    command.args(["run", "--logging-format=json", "--manifests"]);
    command.arg(lab.dir().join("missing"));
    command.arg("--state-dir").arg(lab.dir().join("state"));
    command.arg("--pin-dir").arg(lab.dir().join("pins"));
    let output = command.output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    // The reason for the end is for whoever has started it, and no part of the log.
    let first = words.lines().next().unwrap_or_default();
    let first: serde_json::Value = serde_json::from_str(first)?;
    assert_eq!(first["level"], "INFO");
    let message = first["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with("weiche "), "{first}");
    Ok(())
}
