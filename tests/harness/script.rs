// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control-plane scripts: manifests in, map contents out, in one text file.
//!
//! A script is a list of sections, done in order; each begins with a line `-- WHAT: ARGUMENT --`
//! and goes on to the next such line. What stands before the first one is a comment.
//!
//! - `-- set: NAME=VALUE --`, before the first expectation: `faults` (per mille of map calls that
//!   fail, 100 unless told), `frontends`, `backends`, `chunks` (sizes of maps), `node-ports` (which
//!   addresses of the node they are on), `external-ips` (`true`: they are served), `forwarding` (as
//!   the flag has it).
//! - `-- file: NAME --` puts a manifest file into the folder, new or changed.
//! - `-- remove: NAME --` takes one away.
//! - `-- restart: agent --`: the agent dies before it hears of the files above, and starts again.
//! - `-- expect: services --` lets the agent come to rest; then the frontends must be these, each
//!   with its backends and their shares of its slots.
//! - `-- expect: tunnels --`: the same of entries for what comes out of tunnels.
//! - `-- expect: backends --`: then these, with their states.
//! - `-- expect: problems --`: then what objects get wrong.
//! - `-- expect: failures --`: then what waits to be written.
//! - `-- expect: exposed --`: then the frontends that are no Cluster-IPs.
//! - `-- expect: probes --`: then what load balancers may ask the node.
//! - `-- expect: ignored --`: then what of the manifests is not read.
//!
//! After the last section all files are taken away, and the maps must be empty. `WEICHE_BLESS=1`
//! writes what came out into the script instead of comparing.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use lb_common::wire::Node;
use lb_userspace::{
    maps::{faulty::Faulty, memory::Memory},
    model::Forwarding,
    plan::{Exposed, Rules},
    reconcile::Settings,
    watch::{
        standalone::{addresses::Ledger, catalog::Catalog, store::FileId},
        status::Problem,
    },
};

use crate::control::{AMPLE, Agent, dump};

/// Runs the script in a file.
///
/// # Errors
///
/// When the script cannot be read or understood, when what came out differs (the error shows what
/// did, in full), or when the maps were unsound on the way or not empty at the end.
pub fn run(path: &Path, seed: u64) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    let result =
        outcome(&text, seed).with_context(|| format!("{} (seed {seed})", path.display()))?;
    if std::env::var_os("WEICHE_BLESS").is_some() {
        return Ok(fs::write(path, result)?);
    }
    ensure!(
        result == text,
        "{} (seed {seed}) comes out otherwise:\n{result}",
        path.display()
    );
    Ok(())
}

/// The script with what came out in place of what was expected.
fn outcome(text: &str, seed: u64) -> anyhow::Result<String> {
    let mut stage = Stage::new(seed);
    let mut result = String::new();
    for section in sections(text) {
        let body = stage.play(&section).with_context(|| section.head.clone())?;
        result.push_str(&section.head);
        result.push_str(&body);
    }
    stage.clear()?;
    Ok(result)
}

struct Section {
    /// The line itself, with its end.
    head: String,
    what: String,
    argument: String,
    body: String,
}

fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section {
        head: String::new(),
        what: "comment".to_owned(),
        argument: String::new(),
        body: String::new(),
    }];
    for line in text.split_inclusive('\n') {
        let head = line.trim_end().strip_prefix("-- ");
        let head = head.and_then(|rest| rest.strip_suffix(" --")?.split_once(": "));
        match (head, sections.last_mut()) {
            (Some((what, argument)), _) => sections.push(Section {
                head: line.to_owned(),
                what: what.to_owned(),
                argument: argument.to_owned(),
                body: String::new(),
            }),
            (None, Some(section)) => section.body.push_str(line),
            (None, None) => {}
        }
    }
    sections
}

/// Manifests on one side, maps on the other.
struct Stage {
    seed: u64,
    capacity: lb_userspace::maps::Capacity,
    per_mille: u64,
    rules: Rules,
    files: Vec<(String, String)>,
    catalog: Catalog,
    agent: Option<Agent>,
    ignored: Vec<Problem>,
}

impl Stage {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            capacity: AMPLE,
            per_mille: 100,
            rules: Rules::default(),
            files: Vec::new(),
            catalog: catalog(&Ledger::default()),
            agent: None,
            ignored: Vec::new(),
        }
    }

    /// Does a section; its body as it turned out.
    fn play(&mut self, section: &Section) -> anyhow::Result<String> {
        let argument = section.argument.as_str();
        match section.what.as_str() {
            "comment" => {}
            "set" => self.set(argument)?,
            "file" => {
                self.files.retain(|(name, _)| name != argument);
                self.files.push((argument.to_owned(), section.body.clone()));
                self.catalog.put(&file(argument), &section.body);
            }
            "remove" => {
                self.files.retain(|(name, _)| name != argument);
                self.catalog.remove(&file(argument));
            }
            "restart" => self.restart()?,
            "expect" => return self.expect(argument),
            other => bail!("there are no sections of kind {other:?}"),
        }
        Ok(section.body.clone())
    }

    fn set(&mut self, setting: &str) -> anyhow::Result<()> {
        let (name, value) = setting.split_once('=').context("NAME=VALUE is wanted")?;
        ensure!(
            self.agent.is_none(),
            "settings come before the first expectation"
        );
        match name {
            "faults" => self.per_mille = value.parse()?,
            "frontends" => self.capacity.frontends = value.parse()?,
            "backends" => self.capacity.backends = value.parse()?,
            "chunks" => self.capacity.chunks = value.parse()?,
            "node-ports" => {
                let ranges = value.split(',').map(str::parse);
                self.rules.node_ports = ranges.collect::<Result<_, _>>()?;
            }
            "forwarding" => {
                let known = Forwarding::ALL.into_iter();
                let mut meant = known.filter(|known| known.name() == value);
                self.rules.forwarding = meant.next().context("no such forwarding")?;
            }
            "external-ips" => self.rules.external_ips = value.parse()?,
            other => bail!("there is no setting {other:?}"),
        }
        Ok(())
    }

    fn agent(&mut self) -> anyhow::Result<&mut Agent> {
        if self.agent.is_none() {
            let store = Faulty::new(Memory::new(self.capacity), self.per_mille, self.seed);
            let node = Node {
                seed: [1, 2],
                ..Node::default()
            };
            let settings = Settings {
                rules: self.rules.clone(),
                ..Settings::new("node-a", node)
            };
            self.agent = Some(Agent::start(store, settings)?);
        }
        self.agent.as_mut().context("there is an agent now")
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.catalog = catalog(self.catalog.ledger());
        for (name, text) in &self.files {
            self.catalog.put(&file(name), text);
        }
        self.agent()?.restart()
    }

    fn settle(&mut self) -> anyhow::Result<&Agent> {
        let round = self.catalog.round(0);
        let changes = round.changes;
        self.ignored = round.problems;
        let agent = self.agent()?;
        agent.note(changes);
        agent.settle()?;
        Ok(agent)
    }

    fn expect(&mut self, what: &str) -> anyhow::Result<String> {
        if what == "ignored" {
            self.settle()?;
            let lines = self.ignored.iter().map(|line| format!("{line}\n"));
            return Ok(lines.collect());
        }
        let agent = self.settle()?;
        let store = &agent.store.store;
        let report = agent.report();
        let text = match what {
            "services" => dump::services(store)?,
            "tunnels" => dump::tunnels(store)?,
            "addresses" => dump::addresses(store)?,
            "backends" => dump::backends(store)?,
            "problems" => {
                let problems = report.problems.iter();
                let lines = problems.map(|noted| format!("{}\n", noted.problem));
                lines.collect()
            }
            "failures" => {
                let failures = report.failures.iter();
                let lines = failures.map(|failed| format!("{}: {}\n", failed.about, failed.reason));
                lines.collect()
            }
            "exposed" => report.exposed.iter().map(exposed).collect(),
            "probes" => {
                let probes = report.probes.iter();
                let lines =
                    probes.map(|it| format!("{} {}: {}\n", it.service, it.port, it.local_ready));
                lines.collect()
            }
            other => bail!("nothing is known of {other:?}"),
        };
        Ok(text)
    }

    /// Takes everything away: nothing may be left.
    fn clear(&mut self) -> anyhow::Result<()> {
        for (name, _) in std::mem::take(&mut self.files) {
            self.catalog.remove(&file(&name));
        }
        let agent = self.settle()?;
        agent
            .check_empty()
            .context("after all files were taken away")
    }
}

fn exposed(row: &Exposed) -> String {
    let leads = match row.backends {
        0 => row.otherwise.clone(),
        count => format!("{count} of {}", row.endpoints),
    };
    let ranges = match row.ranges.as_deref() {
        None => String::new(),
        Some([]) => ", only nobody".to_owned(),
        Some(ranges) => format!(", only {}", ranges.join(" ")),
    };
    let Exposed {
        service,
        frontend,
        exposure,
        clients,
        forwarding,
        ..
    } = row;
    let forwarding = forwarding.as_ref().map(|it| format!(", {it}"));
    let forwarding = forwarding.unwrap_or_default();
    format!("{frontend} {service}, {exposure}, {clients}: {leads}{ranges}{forwarding}\n")
}

fn file(name: &str) -> FileId {
    FileId {
        folder: 0,
        path: name.into(),
    }
}

fn catalog(ledger: &Ledger) -> Catalog {
    let cidrs = ["10.96.0.0/16", "fd00:96::/112"];
    let cidrs = cidrs.iter().filter_map(|cidr| cidr.parse().ok());
    Catalog::new(cidrs.collect(), ledger.clone(), None)
}
