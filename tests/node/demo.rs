// SPDX-License-Identifier: MIT OR Apache-2.0
//! The demo, as people use it: with a command, by hand, killed, and twice at once.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tests::{
    netns::{Identity, Process},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Three pods of a Service.
const REQUESTS: &str = "test $HOSTNAME = client || exit 1
weiche status > /dev/null || exit 2
for i in $(seq 60); do
    curl -sf -m 2 http://$ALPACA_PROD_SERVICE_HOST:$ALPACA_PROD_SERVICE_PORT/hostname || exit 3
done
curl -sf -m 2 http://$BANDICOOT_PROD_SERVICE_HOST:$BANDICOOT_PROD_SERVICE_PORT_HTTP/ || exit 4
test $KUBE_DNS_SERVICE_HOST = 10.96.0.10 || exit 5
getent ahostsv4 alpaca-prod | grep -q ^$ALPACA_PROD_SERVICE_HOST || exit 6
curl -sf -m 2 'http://bandicoot-prod.default:8080/dns?name=alpaca-prod&type=A' || exit 8
exit 7";

#[test]
fn a_command_runs_in_the_client_pod() -> anyhow::Result<()> {
    let output = demo(Path::new(EXAMPLES))
        .args(["--", "sh", "-c", REQUESTS])
        .output()?;
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let said = String::from_utf8(output.stdout)?;
    for number in 1..=3 {
        let pod = format!("alpaca-prod-{number}");
        assert!(
            said.lines().any(|line| line == pod),
            "{pod} answers: {said}"
        );
    }
    assert!(said.contains("This is pod bandicoot-prod-"), "{said}");
    assert!(said.contains("<title>bandicoot-prod-"), "{said}");
    // What the page says of a name, as `dig` would.
    for expected in [
        "opcode: QUERY, status: NOERROR",
        "flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0",
        "alpaca-prod.default.svc.cluster.local. 30 IN A 10.96.",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(said.contains("You come from 10.244."), "{said}");
    Ok(())
}

#[test]
fn the_command_decides_how_the_demo_exits() -> anyhow::Result<()> {
    for (command, code) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)] {
        let output = demo(Path::new(EXAMPLES))
            .args(["--", "sh", "-c", command])
            .output()?;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{command}: {}",
            told(&output)
        );
        assert_eq!(
            String::from_utf8(output.stdout)?,
            "",
            "progress is not for stdout"
        );
    }
    Ok(())
}

#[test]
fn what_it_suggests_works_and_manifests_are_followed() -> anyhow::Result<()> {
    let folder = Manifests::copy()?;
    let demo = Demo::start(folder.path())?;
    ensure!(demo.suggestions.len() >= 4, "{:?}", demo.suggestions);
    demo.wait_for_alpacas(3)?;
    for suggestion in demo.suggestions.clone() {
        // Where it moves a manifest to is everybody's; here that is the demo's own.
        let suggestion = match suggestion.strip_suffix(" /tmp/") {
            Some(moving) => format!("{moving} {}/", demo.dir().display()),
            None => suggestion,
        };
        let output = Command::new("sh").args(["-c", &suggestion]).output()?;
        assert!(output.status.success(), "{suggestion}: {}", told(&output));
    }
    demo.wait_for_alpacas(2)?;
    // A pod whose server is dead is not ready.
    let server = demo.server_of("alpaca-prod-3")?;
    server.kill()?;
    demo.wait_for_alpacas(1)?;
    let more = fs::read_to_string(folder.path().join("alpaca-prod-1.yaml"))?;
    let more = more.replace("alpaca-prod-1", "alpaca-prod-4");
    fs::write(folder.path().join("alpaca-prod-4.yaml"), &more)?;
    demo.wait_for_alpacas(2)?;
    let other = more.replace("app: alpaca-prod", "app: other");
    fs::write(folder.path().join("alpaca-prod-4.yaml"), other)?;
    demo.wait_for_alpacas(1)?;
    demo.end(Signal::INT)
}

#[test]
fn what_a_killed_demo_leaves_is_taken_away_at_the_next_start() -> anyhow::Result<()> {
    let mut killed = Demo::start(Path::new(EXAMPLES))?;
    let children = killed.children()?;
    killed.process.signal(Signal::KILL)?;
    killed.process.wait()?;
    assert!(killed.dir().exists(), "nothing is left to be taken away");
    let output = demo(Path::new(EXAMPLES)).args(["--", "true"]).output()?;
    assert!(output.status.success(), "{}", told(&output));
    killed.left_nothing(&children)
}

#[test]
fn two_demos_do_not_meet() -> anyhow::Result<()> {
    let one = Demo::start(Path::new(EXAMPLES))?;
    let output = demo(Path::new(EXAMPLES)).args(["--", "true"]).output()?;
    assert!(output.status.success(), "{}", told(&output));
    one.wait_for_alpacas(3)?;
    one.end(Signal::TERM)
}

#[test]
fn what_cannot_work_is_said() -> anyhow::Result<()> {
    let folder = Manifests::copy()?;
    fs::remove_file(folder.path().join("client.yaml"))?;
    let rows = [
        (folder.path(), "no Pod called `client`"),
        (Path::new("/does/not/exist"), "--manifests"),
    ];
    for (manifests, said) in rows {
        let output = demo(manifests).args(["--", "true"]).output()?;
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).contains(said), "{}", told(&output));
    }
    Ok(())
}

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/alpaca");

fn demo(manifests: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weiche-demo"));
    if let Some(weiche) = std::env::var_os("WEICHE_BIN") {
        command.arg("--weiche").arg(weiche);
    }
    command
        .arg("--manifests")
        .arg(manifests)
        .stdin(Stdio::null());
    command
}

fn told(output: &Output) -> String {
    format!(
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A demo without a command, once it has said what to try.
pub(crate) struct Demo {
    process: Process,
    pub(crate) name: String,
    suggestions: Vec<String>,
}

impl Demo {
    pub(crate) fn start(manifests: &Path) -> anyhow::Result<Self> {
        let mut command = demo(manifests);
        let mut process = Process::spawn(command.stdout(Stdio::piped()))?;
        let name = format!("weiche-demo-{}", process.child().id());
        let stdout = process.child().stdout.take().context("no pipe")?;
        let mut suggestions = Vec::new();
        let mut comment = false;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line.starts_with("Ctrl-C") {
                return Ok(Self {
                    process,
                    name,
                    suggestions,
                });
            }
            if comment {
                suggestions.push(line.trim().to_owned());
            }
            comment = line.starts_with("  # ");
        }
        anyhow::bail!("the demo has ended with {}", process.wait()?)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        Path::new("/run").join(&self.name)
    }

    /// Waits until the Service leads to so many pods.
    pub(crate) fn wait_for_alpacas(&self, count: usize) -> anyhow::Result<()> {
        let list = self
            .suggestions
            .iter()
            .find(|line| line.contains("service list"));
        let list = format!(
            "{} -o json",
            list.context("no suggestion to list Services")?
        );
        wait::until(&format!("{count} alpacas"), PATIENCE, || {
            let output = Command::new("sh").args(["-c", &list]).output().ok()?;
            let rows: Vec<tests::weiche::Frontend> = serde_json::from_slice(&output.stdout).ok()?;
            let mut alpacas = rows
                .iter()
                .filter(|row| row.object() == "default/alpaca-prod");
            alpacas.all(|row| row.backends.len() == count).then_some(())
        })
    }

    /// The processes that it has started.
    fn children(&self) -> anyhow::Result<Vec<Identity>> {
        let noted = fs::read_to_string(self.dir().join("processes"))?;
        noted.lines().map(str::parse).collect()
    }

    /// The process that serves a pod.
    fn server_of(&self, pod: &str) -> anyhow::Result<Identity> {
        let mut children = self.children()?.into_iter();
        let server = children.find(|child| {
            let line = fs::read(format!("/proc/{}/cmdline", child.pid)).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("pod-server") && line.contains(pod)
        });
        server.with_context(|| format!("no server of {pod}"))
    }

    pub(crate) fn end(mut self, signal: Signal) -> anyhow::Result<()> {
        let children = self.children()?;
        self.process.signal(signal)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "asked to end, it exits with {status}");
        self.left_nothing(&children)
    }

    fn left_nothing(&self, children: &[Identity]) -> anyhow::Result<()> {
        ensure!(!children.is_empty(), "a demo without processes");
        for child in children {
            // The last parent of a dead process reaps it in its own time.
            let end = || (Identity::of(child.pid) != Some(*child)).then_some(());
            wait::until(&format!("the end of process {child}"), PATIENCE, end)?;
        }
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
        let within = [format!("{}/", self.name), format!("{}-", self.name)];
        let of_demo =
            |text: &str| text == self.name || within.iter().any(|part| text.contains(part));
        ensure!(!of_demo(&mounts), "mounts are left: {mounts}");
        for dir in ["/run", "/run/netns"] {
            for entry in fs::read_dir(dir)? {
                let name = entry?.file_name();
                ensure!(
                    !of_demo(&name.to_string_lossy()),
                    "{dir}: {} is left",
                    name.display()
                );
            }
        }
        Ok(())
    }
}

/// A copy of the examples, to be changed.
pub(crate) struct Manifests {
    folder: tempfile::TempDir,
}

impl Manifests {
    pub(crate) fn copy() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        for entry in fs::read_dir(EXAMPLES)? {
            let entry = entry?;
            fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
        }
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}
