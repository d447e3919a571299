// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of `docs/walk.md`, one after the other.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::Value;
use tests::{netns::Process, wait};

use crate::{
    demo::{Demo, Manifests},
    scene::program,
};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_walk_leads_where_it_says() -> anyhow::Result<()> {
    let folder = Manifests::copy()?;
    let demo = Demo::start(folder.path())?;
    demo.wait_for_alpacas(3)?;
    let listed: Vec<Value> = serde_json::from_slice(&weiche(&demo, &["service", "list"])?)?;
    let alpaca = listed
        .iter()
        .find(|row| row["service"] == "default/alpaca-prod:http");
    let address = alpaca
        .and_then(|row| row["address"].as_str())
        .context("an address")?;
    let mut forward = Forward::start(&demo, &folder, &["svc/alpaca-prod"])?;
    let page = forward.page("/")?;
    let first = forward.who_serves(&page)?;
    for name in ["alpaca-prod", "alpaca-prod.default"] {
        forward.is_told(name, address)?;
    }
    // From another namespace the short name is nobody's.
    let neighbour = Forward::start(&demo, &folder, &["neighbour", "-n", "elsewhere"])?;
    neighbour.is_told("alpaca-prod.default", address)?;
    let page = neighbour.page("/dns?name=alpaca-prod&type=A")?;
    assert!(page.contains("status: NXDOMAIN"), "{page}");
    neighbour.end()?;
    let asked = query_from(&demo, &folder, &first)?;
    assert_eq!(asked["name"], "alpaca-prod.default.svc.cluster.local.");
    assert_eq!(asked["answers"][0]["data"], address);
    // The pod goes, and the port leads to another one.
    fs::remove_file(folder.path().join(format!("{first}.yaml")))?;
    demo.wait_for_alpacas(2)?;
    wait::until("another pod", PATIENCE, || {
        let page = forward.page("/").ok()?;
        (!page.contains(&first)).then_some(())
    })?;
    let page = forward.page("/")?;
    let second = forward.who_serves(&page)?;
    assert_ne!(first, second);
    forward.end()?;
    demo.end(Signal::INT)
}

fn weiche(demo: &Demo, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new(program()?);
    command.args(words).args(["-o", "json", "--pin-dir"]);
    command.arg(demo.dir().join("bpf/weiche"));
    let output = command.output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// What a pod is answered, with the search path that it has.
fn query_from(demo: &Demo, folder: &Manifests, pod: &str) -> anyhow::Result<Value> {
    let mut command = Command::new(program()?);
    command.args(["dns", "query", "alpaca-prod", "-o", "json", "--from", pod]);
    command.arg("--manifests").arg(folder.path());
    command.arg("--manifests").arg(demo.dir().join("status"));
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A local port that leads to a pod.
struct Forward {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
    port: String,
}

impl Forward {
    fn start(demo: &Demo, folder: &Manifests, to: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program()?);
        command.arg("port-forward").args(to);
        command.args([":8080", "--node-netns"]);
        command.arg(format!("/run/netns/{}-node", demo.name));
        command.arg("--manifests").arg(folder.path());
        command.arg("--manifests").arg(demo.dir().join("status"));
        let mut process = Process::spawn(command.stdout(Stdio::piped()))?;
        let stdout = process.child().stdout.take().context("no pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next().context("it has ended")??;
        let port = line.strip_prefix("Forwarding from 127.0.0.1:");
        let port = port
            .and_then(|rest| rest.strip_suffix(" -> 8080"))
            .context(line.clone())?;
        Ok(Self {
            process,
            port: port.to_owned(),
            lines,
        })
    }

    fn page(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output = Command::new("curl")
            .args(["-sf", "-m", "5", &url])
            .output()?;
        anyhow::ensure!(output.status.success(), "{url}: {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the page's pod is told of a name: this address, as `dig` would show it.
    fn is_told(&self, name: &str, address: &str) -> anyhow::Result<()> {
        let page = self.page(&format!("/dns?name={name}&type=A"))?;
        let record = format!("alpaca-prod.default.svc.cluster.local. 30 IN A {address}");
        for expected in [
            "opcode: QUERY, status: NOERROR",
            "flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0",
            &record,
        ] {
            anyhow::ensure!(page.contains(expected), "{name}: {expected}: {page}");
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.wait().map(drop)
    }

    /// The pod that the page names, which is the one that was said to serve.
    fn who_serves(&mut self, page: &str) -> anyhow::Result<String> {
        let pod = page
            .split("This is pod ")
            .nth(1)
            .and_then(|rest| rest.split('.').next());
        let pod = pod.context("no pod")?.to_owned();
        loop {
            let line = self.lines.next().context("it has ended")??;
            if line.starts_with(&format!("pod default/{pod} at ")) && line.ends_with(" serves") {
                return Ok(pod);
            }
        }
    }
}
