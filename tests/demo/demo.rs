// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a demo: up, then until Ctrl-C or until a command has ended, then down.

use std::{
    ffi::OsString,
    fs,
    future::Future,
    io::IsTerminal as _,
    path::Path,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::Signal;
use tests::{
    netns::{Lab, Node, RpFilter},
    weiche::{Frontend, Weiche},
};
use tokio::{
    process::{Child, Command},
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};

use crate::{
    DemoArguments, agent, complete, guide,
    kubelet::{Event, Kubelet},
    pause::pause,
    resolver,
    signals::Signals,
    variables,
};

/// Where the agent's Cluster-IPs are.
const SERVICES: [&str; 2] = ["10.96.0.0/12", "fd00:10:96::/112"];
/// For everything to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what the kernel has.
const PAUSE: Duration = Duration::from_millis(50);
/// An agent that ended is started anew after this, like a container that is restarted.
const RESTART: Duration = Duration::from_secs(1);

/// Runs the demo; returns what the program exits with.
pub(crate) async fn run(arguments: DemoArguments) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let lab = Lab::new("demo")?;
    eprintln!("bringing up the demo node {}", lab.name());
    let node = Node::new(&lab, RpFilter::Off)?;
    lead_to_services(&node)?;
    let quiet = !arguments.command.is_empty();
    let weiche = agent::find(arguments.weiche, &lab)?;
    let log = quiet.then(|| lab.dir().join("weiche.log"));
    let status = lab.dir().join("status");
    fs::create_dir(&status).context("making the folder for status")?;
    let (events, received) = mpsc::unbounded_channel();
    let manifests = &arguments.manifests;
    let mut kubelet = Kubelet::new(&lab, &node, manifests, status.clone(), quiet, events)?;
    let folder = kubelet.manifests().folder().to_owned();
    // Watched before it is read, so that no change falls in between.
    let _watcher = kubelet.watch()?;
    kubelet.sync()?;
    let folders = [&*folder, &*status];
    let start = || agent::start(&weiche, &lab, &node, folders, log.as_deref());
    let mut demo = Demo {
        agent: start()?,
        start: &start,
        lab: &lab,
        weiche: &weiche,
        log: log.as_deref(),
        kubelet,
        received,
    };
    let ended = demo.live(&mut signals, &arguments.command).await;
    eprintln!("taking the demo node down");
    agent::stop(demo.agent).await?;
    ended
}

/// The host outside reaches Cluster-IPs by way of the node, as where a network says so.
fn lead_to_services(node: &Node) -> anyhow::Result<()> {
    let (v4, v6) = (Node::V4, Node::V6);
    let [range_v4, range_v6] = SERVICES;
    let routes =
        format!("route add {range_v4} via {v4} dev eth0\nroute add {range_v6} via {v6} dev eth0\n");
    node.outside.namespace.ip(&routes)
}

/// What lives while the demo does.
struct Demo<'lab> {
    agent: Child,
    start: &'lab dyn Fn() -> anyhow::Result<Child>,
    lab: &'lab Lab,
    weiche: &'lab Weiche,
    log: Option<&'lab Path>,
    kubelet: Kubelet<'lab>,
    received: UnboundedReceiver<Event>,
}

impl Demo<'_> {
    async fn live(
        &mut self,
        signals: &mut Signals,
        command: &[OsString],
    ) -> anyhow::Result<ExitCode> {
        let frontends = tokio::select! {
            frontends = timeout(PATIENCE, self.come_up()) => frontends,
            signal = signals.next() => return Ok(exit_code(128 + signal.as_raw())),
        };
        let frontends = match frontends {
            Ok(frontends) => frontends?,
            Err(_elapsed) => bail!(
                "the Services do not serve within {PATIENCE:?}{}",
                self.last_words()
            ),
        };
        if command.is_empty() {
            println!(
                "{}",
                guide::text(self.lab, self.weiche, &self.kubelet, &frontends)
            );
            self.drive(signals.next()).await?;
            return Ok(ExitCode::SUCCESS);
        }
        let child = self.spawn(command, &frontends)?;
        self.wait_for(child, signals).await
    }

    /// Until each Pod is ready and served, and each Service leads to as many backends as it has
    /// ready Pods.
    async fn come_up(&mut self) -> anyhow::Result<Vec<Frontend>> {
        while self.kubelet.pods().any(|(_, _, ready)| !ready) {
            let event = self.received.recv().await.context("no events")?;
            self.kubelet.handle(event).await?;
        }
        loop {
            if let Some(status) = self.agent.try_wait()? {
                bail!("weiche has ended with {status}{}", self.last_words());
            }
            // Until its maps are there, asking for them is an error.
            let frontends = self.weiche.frontends().unwrap_or_default();
            if complete::is_complete(&self.kubelet, &frontends)
                && complete::is_served(
                    &self.kubelet,
                    &self.weiche.served_links().unwrap_or_default(),
                )
            {
                return Ok(frontends);
            }
            pause(PAUSE).await;
        }
    }

    /// The end of the agent's messages, where they went to a file.
    fn last_words(&self) -> String {
        let text = self.log.and_then(|path| fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(20));
        last.fold(String::new(), |text, line| format!("{text}\n  {line}"))
    }

    /// Plays the kubelet until `end` comes.
    async fn drive<T>(&mut self, end: impl Future<Output = T>) -> anyhow::Result<T> {
        tokio::pin!(end);
        loop {
            tokio::select! {
                ended = &mut end => return Ok(ended),
                event = self.received.recv() => {
                    self.kubelet.handle(event.context("no events")?).await?;
                }
                status = self.agent.wait() => {
                    eprintln!("weiche has ended with {}; again in {RESTART:?}", status?);
                    pause(RESTART).await;
                    self.agent = (self.start)()?;
                }
            }
        }
    }

    fn spawn(&self, command: &[OsString], frontends: &[Frontend]) -> anyhow::Result<Child> {
        let (program, arguments) = command.split_first().context("no command")?;
        let mut client = self
            .kubelet
            .pods()
            .filter(|(name, ..)| name.name == "client");
        let (name, pod, _) = client.next().with_context(|| {
            let folder = self.kubelet.manifests().folder().display();
            format!("{folder} has no Pod called `client` to run a command in")
        })?;
        let resolv_conf = resolver::write(self.lab, self.kubelet.manifests(), &name.namespace)?;
        let command = resolver::command(&pod.namespace, resolv_conf.as_deref(), program);
        let mut child = Command::from(command);
        child.args(arguments).envs(self.weiche.variables());
        child.env("PATH", agent::path_with(&self.weiche.program, self.lab)?);
        child.env("HOSTNAME", &name.name);
        for (service, object) in self.kubelet.manifests().services() {
            let called = service.to_string();
            let address = frontends
                .iter()
                .find(|frontend| frontend.object() == called);
            // That of names as well, which its own resolver needs not be told.
            let is_told = service.namespace == name.namespace || service == resolver::dns_service();
            if let Some(address) = address.filter(|_| is_told) {
                child.envs(variables::of_service(
                    &service.name,
                    &object,
                    address.address,
                ));
            }
        }
        let child = child.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("starting {}", Path::new(program).display()))?;
        self.lab
            .adopt(child.id().context("a command without a pid")?)?;
        Ok(child)
    }

    async fn wait_for(
        &mut self,
        mut child: Child,
        signals: &mut Signals,
    ) -> anyhow::Result<ExitCode> {
        // At a terminal, Ctrl-C has reached the command already.
        let terminal = std::io::stdin().is_terminal();
        let mut asked = false;
        loop {
            let wait = async {
                tokio::select! {
                    status = child.wait() => Err(status),
                    signal = signals.next() => Ok(signal),
                }
            };
            let signal = match self.drive(wait).await? {
                Err(status) => return Ok(exit_code(code_of(status?)?)),
                Ok(signal) => signal,
            };
            let Some(pid) = child.id() else { continue };
            match signal {
                Signal::INT if terminal => {}
                // Asked twice, it is not asked a third time.
                _ if asked => agent::signal(pid, Signal::KILL)?,
                _ => {
                    asked = true;
                    agent::signal(pid, signal)?;
                }
            }
        }
    }
}

/// As a shell would say it: the status, or 128 and the signal.
fn code_of(status: ExitStatus) -> anyhow::Result<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = status.signal().map(|signal| 128 + signal);
    status
        .code()
        .or(signal)
        .ok_or_else(|| anyhow!("the command ended with {status}"))
}

fn exit_code(code: i32) -> ExitCode {
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
