// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plays the kubelet: what the manifests ask for runs, what they no longer ask for goes, and each
//! Pod's status is written down as it changes.
//!
//! It knows nothing of Services.

mod running;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use notify::{
    EventKind, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use running::Running;
use tests::netns::{Lab, Node, Pod};
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    manifests::{Manifests, Name},
    pause::pause,
    resolver,
};

/// A Pod whose manifest is gone serves on for so long: its last connections end in order.
const GRACE: Duration = Duration::from_secs(1);
/// A file is often written in several steps; they are read together.
const QUIET: Duration = Duration::from_millis(20);

/// What the kubelet has to react to.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something in the folder of manifests is new, changed or gone.
    FolderChanged,
    /// A server of the Pod that was the `start`th to start serves its port now.
    ServerReady { pod: Name, start: u64, port: u16 },
    /// That server has ended.
    ServerEnded { pod: Name, start: u64, port: u16 },
    /// The Pod that was the `start`th to start has been leaving for long enough.
    GraceOver { start: u64 },
}

/// The kubelet of one node.
#[derive(Debug)]
pub(crate) struct Kubelet<'lab> {
    lab: &'lab Lab,
    node: &'lab Node,
    manifests: Manifests,
    status: PathBuf,
    quiet: bool,
    events: UnboundedSender<Event>,
    /// The folder has changed since it was last read: one event says so, however many changes.
    changed: Arc<AtomicBool>,
    running: BTreeMap<Name, Running>,
    leaving: Vec<Running>,
    starts: u64,
}

impl<'lab> Kubelet<'lab> {
    /// Follows the manifests; status is written into the folder `status`. A quiet kubelet speaks
    /// only of what went wrong.
    pub(crate) fn new(
        lab: &'lab Lab,
        node: &'lab Node,
        manifests: &Path,
        status: PathBuf,
        quiet: bool,
        events: UnboundedSender<Event>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            lab,
            node,
            manifests: Manifests::follow(manifests, Node::NAME)?,
            status,
            quiet,
            events,
            changed: Arc::default(),
            running: BTreeMap::new(),
            leaving: Vec::new(),
            starts: 0,
        })
    }

    /// What it follows.
    pub(crate) fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// The Pods that run, and whether they are ready.
    pub(crate) fn pods(&self) -> impl Iterator<Item = (&Name, &Pod, bool)> {
        let running = self.running.iter();
        running.map(|(name, running)| (name, running.pod(), running.is_ready()))
    }

    /// Works in one event.
    pub(crate) async fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::FolderChanged => {
                pause(QUIET).await;
                self.changed.store(false, Ordering::Release);
                self.sync()
            }
            Event::ServerReady { pod, start, port } => self.note(&pod, start, port, true),
            Event::ServerEnded { pod, start, port } => self.note(&pod, start, port, false),
            Event::GraceOver { start } => self.remove(|left| left.start_number() == start),
        }
    }

    /// Reports changes in the folder of manifests, for as long as the returned watcher lives.
    pub(crate) fn watch(&self) -> anyhow::Result<notify::RecommendedWatcher> {
        let (events, changed) = (self.events.clone(), self.changed.clone());
        let handler = move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too.
            let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
            let kind = event.map_or(EventKind::Any, |event| event.kind);
            let counts = kind == written || !kind.is_access();
            if counts && !changed.swap(true, Ordering::AcqRel) {
                let _demo_ended = events.send(Event::FolderChanged);
            }
        };
        let folder = self.manifests.folder();
        let mut watcher = notify::recommended_watcher(handler).context("starting inotify")?;
        let watching = watcher.watch(folder, RecursiveMode::NonRecursive);
        watching.with_context(|| format!("watching {}", folder.display()))?;
        Ok(watcher)
    }

    /// Makes what runs equal to what the manifests ask for.
    pub(crate) fn sync(&mut self) -> anyhow::Result<()> {
        match self.manifests.refresh() {
            Ok(complaints) => complaints
                .iter()
                .for_each(|line| eprintln!("kubelet: {line}")),
            Err(error) => eprintln!("kubelet: {error:#}; the Pods stay as they are"),
        }
        let wanted = self.manifests.pods();
        let gone = self.running.extract_if(.., |name, running| {
            wanted.get(name).map(|pod| &pod.ports) != Some(running.ports())
        });
        for (name, running) in gone.collect::<Vec<_>>() {
            self.leave(&name, running)?;
        }
        for (name, pod) in wanted {
            if !self.running.contains_key(&name)
                && let Err(error) = self.start(&name, pod.ports)
            {
                eprintln!("kubelet: Pod {name} does not start: {error:#}");
            }
        }
        Ok(())
    }

    fn start(&mut self, name: &Name, ports: BTreeSet<u16>) -> anyhow::Result<()> {
        // One of the same name that is still leaving has to make room.
        self.remove(|left| left.name() == name)?;
        self.starts += 1;
        let number = self.free_number()?;
        let pod = self.node.add_pod(self.lab, &label(name), number)?;
        self.say(format_args!("Pod {name} runs at {} and {}", pod.v4, pod.v6));
        let resolv_conf = resolver::write(self.lab, &self.manifests, &name.namespace)?;
        let running = Running::start(
            self.lab,
            pod,
            name,
            ports,
            self.starts,
            resolv_conf.as_deref(),
            &self.events,
        )?;
        status::write(&self.status, name, running.pod(), running.is_ready())?;
        self.running.insert(name.clone(), running);
        Ok(())
    }

    fn leave(&mut self, name: &Name, running: Running) -> anyhow::Result<()> {
        self.say(format_args!("Pod {name} leaves"));
        status::remove(&self.status, name)?;
        let (events, start) = (self.events.clone(), running.start_number());
        self.leaving.push(running);
        tokio::spawn(async move {
            pause(GRACE).await;
            // Nobody listens any more when the demo ends, and then all Pods go.
            let _demo_ended = events.send(Event::GraceOver { start });
        });
        Ok(())
    }

    fn remove(&mut self, which: impl Fn(&Running) -> bool) -> anyhow::Result<()> {
        for running in self.leaving.extract_if(.., |running| which(running)) {
            self.node.remove_pod(running.pod())?;
        }
        Ok(())
    }

    fn note(&mut self, name: &Name, start: u64, port: u16, serves: bool) -> anyhow::Result<()> {
        let Some(running) = self.running.get_mut(name) else {
            return Ok(());
        };
        if running.start_number() != start {
            return Ok(());
        }
        running.note(port, serves);
        if !serves {
            eprintln!("kubelet: Pod {name} is not ready: its server on port {port} has ended");
        }
        status::write(&self.status, name, running.pod(), running.is_ready())
    }

    fn say(&self, what: fmt::Arguments<'_>) {
        if !self.quiet {
            eprintln!("kubelet: {what}");
        }
    }

    /// The next number in turn, so that an address is not soon given to another Pod.
    fn free_number(&self) -> anyhow::Result<u16> {
        const FIRST: u64 = 2;
        const COUNT: u64 = 65_000;
        let pods = self.running.values().chain(&self.leaving);
        let taken: BTreeSet<&str> = pods.map(|running| running.pod().link.as_str()).collect();
        for turn in 0..COUNT {
            let number = u16::try_from(FIRST + (self.starts - 1 + turn) % COUNT)?;
            if !taken.contains(Node::link_name(number).as_str()) {
                return Ok(number);
            }
        }
        bail!("{COUNT} Pods run on this node already")
    }
}

/// What a Pod's namespace and link are called: its name, as long as it is in the usual namespace.
pub(crate) fn label(name: &Name) -> String {
    if name.namespace == "default" {
        name.name.clone()
    } else {
        format!("{}.{}", name.namespace, name.name)
    }
}
