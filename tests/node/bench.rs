// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench, in the size that shows nothing but that it works.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde_json::Value;

#[test]
fn every_part_of_the_bench_runs_and_reports() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = run(folder.path(), &[])?;
    let json = folder.path().join("report.json");
    let report: Value = serde_json::from_str(&fs::read_to_string(&json)?)?;
    let titles = |of: &Value, name: &str| -> Vec<String> {
        let list = of[name].as_array().into_iter().flatten();
        let title = |it: &Value| it["title"].as_str().unwrap_or_default().to_owned();
        list.map(title).collect()
    };
    let sections = titles(&report, "sections");
    assert_eq!(
        sections,
        ["Control plane", "Packet path", "One packet", "Names", "XDP"]
    );
    for section in report["sections"].as_array().context("sections")? {
        for table in section["tables"].as_array().context("tables")? {
            let rows = table["rows"].as_array().map_or(0, Vec::len);
            assert!(rows > 0, "{} is empty", table["title"]);
        }
    }
    assert!(first.contains("TCP connect, request, close"), "{first}");
    // So small a run has no target's size: each is named, none is judged.
    let ids = |name: &str| -> BTreeSet<String> {
        let list = report[name].as_array().into_iter().flatten();
        let id = |it: &Value| it["id"].as_str().unwrap_or_default().to_owned();
        list.map(id).collect()
    };
    assert_eq!(ids("targets"), BTreeSet::new());
    let absent = ids("absent");
    for id in [
        "T1-stack",
        "T2-stack",
        "T3-known",
        "T6-scale",
        "churn",
        "T8-queries",
        "T4-known-1000",
        "T5-xdp",
    ] {
        assert!(absent.contains(id), "{id} is not among {absent:?}");
    }
    let html = fs::read_to_string(folder.path().join("report.html"))?;
    assert!(html.contains("<svg"), "plots are in the page");
    let old = folder.path().join("old.json");
    fs::rename(&json, &old)?;
    let compared = run(
        folder.path(),
        &["packet", "--compare", &old.to_string_lossy()],
    )?;
    assert!(compared.contains("were not measured again"), "{compared}");
    Ok(())
}

#[test]
fn a_report_that_is_none_is_refused_before_anything_is_measured() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let old = folder.path().join("old.json");
    fs::write(&old, "{}")?;
    let output = bench(folder.path(), &["--compare", &old.to_string_lossy()]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("a report.json of an earlier run"), "{said}");
    Ok(())
}

fn run(out: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = bench(out, arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn bench(out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weiche-bench"));
    command.arg("--smoke").arg("--out").arg(out).args(arguments);
    command
}
