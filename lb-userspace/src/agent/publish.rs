// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gathers what the agent's parts say about themselves into `status.json`.

use crate::{
    config::{Config, Source},
    datapath::edges::EdgeState,
    delivery,
    dns::{server as dns, shadow::Tally},
    observe::{Status, StatusError, Sync, metrics::Facts, pressure::Pressed, server::Vitals},
    reconcile::Report,
    takeover::Progress,
    watch::status::Status as WatchStatus,
};
use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Changes that come together are written together.
const PAUSE: Duration = Duration::from_millis(50);

/// As `status.json` calls the mode.
const CLUSTER: &str = "cluster";

/// Between two lines of the log about the same.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// The one place where the parts' states meet.
pub(super) struct Publisher {
    status: watch::Sender<Status>,
    state_dir: PathBuf,
    vitals: Arc<Vitals>,
}

impl Publisher {
    pub(super) fn new(config: &Config, facts: &Facts, vitals: Arc<Vitals>) -> Self {
        let mode = match config.source {
            Source::Manifests(_) => "standalone",
            Source::Cluster(_) => CLUSTER,
        };
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode.to_owned(),
            pid: std::process::id(),
            started_s: facts.started_s,
            starts: facts.starts,
            node_name: config.node_name.clone(),
            pin_dir: config.pin_dir.clone(),
            seed: facts.seed,
            watch: WatchStatus::default(),
            sync: Sync::default(),
            edges: Vec::new(),
            direct: delivery::State::default(),
            forwarding: config.rules.forwarding,
            takeover: Progress::default(),
            dns: None,
            shadow: None,
            pressed: Vec::new(),
        };
        Self {
            status: watch::Sender::new(status),
            state_dir: config.state_dir.clone(),
            vitals,
        }
    }

    /// The edges have changed.
    pub(super) fn edges(&self, edges: Vec<EdgeState>) {
        self.vitals.attached();
        self.vitals.metrics.edges(&edges);
        self.status.send_modify(|status| status.edges = edges);
    }

    /// Whether packets pass the host's stack by has changed, or why not.
    pub(super) fn direct(&self, direct: delivery::State) {
        self.vitals.metrics.direct(&direct);
        self.status.send_modify(|status| status.direct = direct);
    }

    /// Taking over has come further.
    pub(super) fn takeover(&self, progress: Progress) {
        self.vitals.metrics.takeover(&progress);
        self.status.send_if_modified(|status| {
            let is_news = status.takeover != progress;
            status.takeover = progress;
            is_news
        });
    }

    /// Names are served elsewhere than before, as long as there is a server for them.
    pub(super) async fn names(&self, states: Option<watch::Receiver<dns::State>>) -> Infallible {
        if let Some(mut states) = states {
            loop {
                let state = states.borrow_and_update().clone();
                self.status.send_modify(|status| status.dns = Some(state));
                if states.changed().await.is_err() {
                    break;
                }
            }
        }
        std::future::pending().await
    }

    /// More answers were compared with the kernel's.
    pub(super) fn shadow(&self, tally: &Tally) {
        self.status
            .send_modify(|status| status.shadow = Some(tally.clone()));
    }

    /// Other maps are nearly full than before.
    pub(super) fn pressed(&self, pressed: Vec<Pressed>) {
        self.status.send_modify(|status| status.pressed = pressed);
    }

    /// Writes the file, and again after each change.
    pub(super) async fn run(
        &self,
        source: watch::Receiver<WatchStatus>,
        reports: watch::Receiver<Report>,
    ) -> Result<Infallible, StatusError> {
        let said = say(self.is_cluster(), reports.clone());
        let ((), (), (), end) =
            tokio::join!(self.watch(source), self.sync(reports), said, self.write());
        end
    }

    fn is_cluster(&self) -> bool {
        self.status.borrow().mode == CLUSTER
    }

    async fn watch(&self, mut states: watch::Receiver<WatchStatus>) {
        loop {
            let state = states.borrow_and_update().clone();
            self.vitals.metrics.source(&state);
            self.status.send_modify(|status| status.watch = state);
            if states.changed().await.is_err() {
                return;
            }
        }
    }

    async fn sync(&self, mut reports: watch::Receiver<Report>) {
        while reports.changed().await.is_ok() {
            let sync = Sync::from(&*reports.borrow_and_update());
            self.status.send_modify(|status| status.sync = sync);
        }
    }

    async fn write(&self) -> Result<Infallible, StatusError> {
        let mut changed = self.status.subscribe();
        loop {
            let status = changed.borrow_and_update().clone();
            status.write(&self.state_dir)?;
            tokio::time::sleep(PAUSE).await;
            if changed.changed().await.is_err() {
                // We hold the sender ourselves.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Says in the log that something is not as it should be, when how much of it there is has
/// changed: who reads only the log should know that there is more to read.
async fn say(is_cluster: bool, mut reports: watch::Receiver<Report>) {
    let mut said = Wrong::default();
    while reports.changed().await.is_ok() {
        let found = Wrong::of(is_cluster, &reports.borrow_and_update());
        if found.is_like(&said) {
            continue;
        }
        found.say();
        said = found;
        tokio::time::sleep(LOG_PAUSE).await;
    }
}

/// What is not as it should be: how much, and the first of it.
#[derive(Debug, Default)]
struct Wrong {
    failures: usize,
    failure: String,
    problems: usize,
    problem: String,
    no_node: bool,
}

impl Wrong {
    fn of(is_cluster: bool, report: &Report) -> Self {
        let failure = report.failures.first();
        let failure = failure.map(|failure| format!("{}: {}", failure.about, failure.reason));
        let problem = report.problems.first().map(|noted| &noted.problem);
        let problem = problem.map(|problem| format!("{}: {}", problem.object, problem.fault));
        Self {
            failures: report.failure_count,
            failure: failure.unwrap_or_default(),
            problems: report.problem_count,
            problem: problem.unwrap_or_default(),
            no_node: is_cluster && report.listed && !report.node_known,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let numbers = |it: &Self| (it.failures, it.problems, it.no_node);
        numbers(self) == numbers(other)
    }

    fn say(&self) {
        let Self {
            failures,
            failure,
            problems,
            problem,
            no_node,
        } = self;
        if *failures > 0 {
            tracing::warn!(
                failures,
                "Services are not served as they should be; the first: {failure}. \
                 `weiche status` lists them"
            );
        }
        if *problems > 0 {
            tracing::warn!(
                problems,
                "parts of objects are left out; the first: {problem}. `weiche status` lists them"
            );
        }
        if *no_node {
            tracing::warn!(
                "no Node has this node's name: traffic policies and topology hints that look at \
                 it find nothing here; give --node-name as the Node is called"
            );
        }
        if *failures == 0 && *problems == 0 && !no_node {
            tracing::info!("nothing is left out or waits any more");
        }
    }
}
