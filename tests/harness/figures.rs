// SPDX-License-Identifier: MIT OR Apache-2.0
//! Named checks with a figure: one table, two sizes.
//!
//! `cargo xtask test` runs the small size, `cargo xtask test --full` (which sets `WEICHE_FULL=1`)
//! the size that the project promises. Each prints name, size, seed and result, and appends one
//! line of JSON to the file that `WEICHE_FIGURES` names.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// One named check.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What the report calls it.
    pub name: &'static str,
    /// What `size` counts, and what must come out.
    pub what: &'static str,
    /// Size in `cargo xtask test`: at most 60 s.
    pub small: u64,
    /// Size in `cargo xtask test --full`.
    pub full: u64,
}

/// All of them. A check that is not listed here cannot run; one that is listed and was not
/// reported fails `cargo xtask test`.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "planning-by-steps",
        what: "random worlds through five changes; planned by steps = planned at once",
        small: 300,
        full: 3_000,
    },
    Figure {
        name: "agents-agree",
        what: "random worlds that two agents learn in different order; identical slots",
        small: 300,
        full: 1_000,
    },
    Figure {
        name: "prefix-safety",
        what: "random pairs of worlds; every prefix of the writes between them is sound",
        small: 300,
        full: 1_000,
    },
    Figure {
        name: "map-faults",
        what: "agents' lives with 10 to 50 % of map calls failing; right in the end, 0 leaks",
        small: 500,
        full: 2_000,
    },
    Figure {
        name: "small-maps",
        what: "the same in maps that are too small; sound at any time, 0 leaks",
        small: 500,
        full: 2_000,
    },
    Figure {
        name: "change-cost",
        what: "Services; one change costs as many map calls as among 10",
        small: 1_000,
        full: 10_000,
    },
    Figure {
        name: "maglev-balance",
        what: "seeds; shares at 100 slots per backend and more are within 1 %",
        small: 20,
        full: 200,
    },
    Figure {
        name: "maglev-moves",
        what: "backends; one leaves: <= 3 % of others' slots move (1 % at 1,000); 200 seeds",
        small: 40,
        full: 300,
    },
    Figure {
        name: "kernel-matrix",
        what: "kernels that load and serve; seconds for each, under emulation",
        small: 2,
        full: 2,
    },
    Figure {
        name: "differential",
        what: "generated packets, in sequences of 1 to 50; host and kernel agree on all",
        small: 200_000,
        full: 1_200_000,
    },
    Figure {
        name: "names",
        what: "queries, one in three bent; the kernel answers as the server, or not at all",
        small: 50_000,
        full: 1_000_000,
    },
    Figure {
        name: "explained",
        what: "tuples for `weiche explain`; it says what the programs do, and writes nothing",
        small: 10_000,
        full: 200_000,
    },
    Figure {
        name: "sabotage",
        what: "broken builds of the programs, each of which the differential catches",
        small: 1,
        full: 9,
    },
    Figure {
        name: "torn-reads",
        what: "lookups while another processor reuses the elements; 0 wrong values are used",
        small: 10_000_000,
        full: 100_000_000,
    },
    Figure {
        name: "expiry-bursts",
        what: "bursts of 2,000 flows in 0.1 s and 20,000 in 1 s; all end in time without an agent",
        small: 2,
        full: 20,
    },
    Figure {
        name: "cluster-ip-connections",
        what: "connections to a Cluster-IP, of each family and protocol; none fails",
        small: 10_000,
        full: 10_000,
    },
    Figure {
        name: "path-mtu",
        what: "MB each way, to and from behind MTU 1280; <= 1.5 times as long as without a Service",
        small: 10,
        full: 100,
    },
    Figure {
        name: "fragmented-datagrams",
        what: "rounds of UDP datagrams of 1,600 to 65,000 bytes, each family; all are answered",
        small: 5,
        full: 200,
    },
    Figure {
        name: "goodput-on-a-bad-road",
        what: "rounds at 1 % loss, 5 ms jitter, some twice or early; >= 95 % of without Weiche",
        small: 2,
        full: 24,
    },
    Figure {
        name: "flows-on-a-bad-road",
        what: "short flows at 2 % loss, 3 % twice, 4 % early, on both sides; none fails",
        small: 2_000,
        full: 40_000,
    },
    Figure {
        name: "fragments-in-any-order",
        what: "rounds of datagrams of 1.6 to 60 KB, in 6 orders, both ways, each family; 0 astray",
        small: 2,
        full: 60,
    },
    Figure {
        name: "port-reuses",
        what: "connections from 64 ports that are used again at once; no SYN is sent twice",
        small: 4_000,
        full: 100_000,
    },
    Figure {
        name: "paired-questions",
        what: "pairs of datagrams that two processors send from one socket at once; 0 lost",
        small: 4_000,
        full: 100_000,
    },
    Figure {
        name: "soak",
        what: "seconds of flows, churn, fragments, floods and forged packets; nothing is left",
        small: 12,
        full: 600,
    },
    Figure {
        name: "agent-killed",
        what: "new flows, 500/s, while 200 are open and the agent is killed; none fails",
        small: 6_000,
        full: 60_000,
    },
    Figure {
        name: "agent-killed-flows-doubled",
        what: "the same with twice the room for flows after the restart; none fails",
        small: 6_000,
        full: 60_000,
    },
    Figure {
        name: "taken-over",
        what: "new flows, 500/s, while 200 are open and we take over from netfilter; none fails",
        small: 6_000,
        full: 60_000,
    },
    Figure {
        name: "agent-killed-while-moving",
        what: "agents that die while they move to other sizes under load; no flow fails",
        small: 12,
        full: 100,
    },
    Figure {
        name: "agent-killed-while-moving-clsact",
        what: "the same with clsact filters; no flow fails",
        small: 12,
        full: 100,
    },
    Figure {
        name: "agent-killed-under-changes",
        what: "kills while 50 objects/s change; maps right <= 2 s after each, no flow fails",
        small: 5,
        full: 50,
    },
    Figure {
        name: "sequence-probe",
        what: "seconds of late packets after flows have ended; none leaves untranslated",
        small: 10,
        full: 60,
    },
    Figure {
        name: "forged-segments",
        what: "forged packets on two live connections; 0 changes, 0 untranslated, both go on",
        small: 2_000,
        full: 200_000,
    },
    Figure {
        name: "syn-flood",
        what: "established flows through 2 s (full: 10 s) of SYNs of nobody; none breaks",
        small: 500,
        full: 10_000,
    },
    Figure {
        name: "spoofed-affinity",
        what: "spoofed clients of a Service with affinity; real ones keep their backend",
        small: 2_000,
        full: 1_000_000,
    },
    Figure {
        name: "both-modes",
        what: "rounds of up to 7 edits; folders and an API server tell the same",
        small: 20,
        full: 300,
    },
    Figure {
        name: "fault-schedules",
        what: "random schedules of edits and faults in virtual time; right <= 1 s after, 0 leaks",
        small: 500,
        full: 10_000,
    },
    Figure {
        name: "fault-schedules-http",
        what: "the same over real HTTP, in real time; right <= 1 s after, 0 leaks",
        small: 20,
        full: 200,
    },
    Figure {
        name: "agent-dead-udp-churn",
        what: "seconds of the UDP time-out, three times that without an agent; no table fills up",
        small: 8,
        full: 180,
    },
];

/// What a check is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How much of `Figure::what`; `WEICHE_SIZE` sets another size.
    pub size: u64,
    /// Where chance begins; `WEICHE_SEED` repeats a run.
    pub seed: u64,
}

/// Says every ten seconds how far a long check is, past what holds a test's output back.
#[derive(Debug)]
pub struct Progress {
    run: Run,
    begun: Instant,
    done: AtomicU64,
    said_s: AtomicU64,
}

impl Progress {
    /// Of a run that begins now.
    pub fn of(run: Run) -> Self {
        Self {
            run,
            begun: Instant::now(),
            done: AtomicU64::new(0),
            said_s: AtomicU64::new(0),
        }
    }

    /// One more is done.
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let now_s = self.begun.elapsed().as_secs();
        let said_s = self.said_s.load(Ordering::Relaxed);
        if now_s < said_s + 10 {
            return;
        }
        let said = &self.said_s;
        let is_ours = said.compare_exchange(said_s, now_s, Ordering::Relaxed, Ordering::Relaxed);
        if is_ours.is_ok() {
            let size = self.run.size;
            // Whoever does not want to hear it need not.
            let _unheard = writeln!(io::stderr(), "{done} of {size} after {now_s} s");
        }
    }
}

/// Runs the check called `name` and reports it; its own panics and errors fail the test.
///
/// The check returns its result as pairs of a name and a number or text.
///
/// # Panics
///
/// When the table has no such figure, the report cannot be written, or the check fails.
pub fn check<F>(name: &str, check: F)
where
    F: FnOnce(Run) -> anyhow::Result<Vec<(&'static str, serde_json::Value)>>,
{
    let figure = FIGURES.iter().find(|figure| figure.name == name);
    let figure = figure.unwrap_or_else(|| panic!("figures.rs does not list {name}"));
    let full = std::env::var_os("WEICHE_FULL").is_some();
    let number = |name| std::env::var(name).ok()?.parse().ok();
    let size = number("WEICHE_SIZE").unwrap_or(if full { figure.full } else { figure.small });
    let seed = number("WEICHE_SEED").unwrap_or(1);
    let start = Instant::now();
    let result = check(Run { size, seed });
    let result =
        result.unwrap_or_else(|error| panic!("{name} (size {size}, seed {seed}): {error:#}"));
    let seconds = start.elapsed().as_secs_f64();
    let mut line = serde_json::Map::new();
    line.insert("name".into(), name.into());
    line.insert("what".into(), figure.what.into());
    line.insert("size".into(), size.into());
    line.insert("seed".into(), seed.into());
    line.insert("seconds".into(), ((seconds * 10.0).round() / 10.0).into());
    let result = result
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    line.insert("result".into(), serde_json::Value::Object(result));
    let line = serde_json::Value::Object(line);
    println!("figure {line}");
    if let Some(path) = std::env::var_os("WEICHE_FIGURES") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("WEICHE_FIGURES names a file"), "{line}")
            .expect("the report is written");
    }
}
