// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which suites there are, what each needs, and which of them a command line asks for.

use super::artifacts::Binary;
use anyhow::bail;
use std::time::Duration;

/// One suite: one or more test binaries that are run alike.
pub(super) struct Suite {
    /// As the command line calls it; that of a `[[test]]` in tests/Cargo.toml, but for `unit`.
    pub(super) name: &'static str,
    /// Needs root, and is run in namespaces of its own.
    pub(super) privileged: bool,
    /// A binary that runs longer is ended. `--full` has no such limit.
    pub(super) limit: Duration,
}

/// The tests beside the code, in all crates.
pub(super) const UNIT: &str = "unit";

/// In the order in which they run: the quickest first.
pub(super) const SUITES: &[Suite] = &[
    Suite {
        name: UNIT,
        privileged: false,
        limit: minutes(10),
    },
    Suite {
        name: "control_plane",
        privileged: false,
        limit: minutes(10),
    },
    Suite {
        name: "watch",
        privileged: false,
        limit: minutes(10),
    },
    Suite {
        name: "surface",
        privileged: false,
        limit: minutes(10),
    },
    Suite {
        name: "datapath",
        privileged: true,
        limit: minutes(20),
    },
    Suite {
        name: "node",
        privileged: true,
        limit: minutes(30),
    },
    Suite {
        name: "kernels",
        privileged: false,
        limit: minutes(30),
    },
];

/// A suite that is to run, whole or in part.
pub(super) struct Chosen {
    pub(super) suite: &'static Suite,
    /// Only tests with this in their name.
    pub(super) part: Option<String>,
}

/// What a command line asks for.
pub(super) struct Selection {
    chosen: Vec<Chosen>,
    everything: bool,
}

impl Selection {
    /// Reads `SUITE` and `SUITE::PART`; no name at all means every suite.
    pub(super) fn parse(names: &[&str]) -> anyhow::Result<Self> {
        if names.is_empty() {
            let chosen = SUITES
                .iter()
                .map(|suite| Chosen { suite, part: None })
                .collect();
            return Ok(Self {
                chosen,
                everything: true,
            });
        }
        let chosen = names
            .iter()
            .map(|name| choose(name))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            chosen,
            everything: false,
        })
    }

    pub(super) fn chosen(&self) -> &[Chosen] {
        &self.chosen
    }

    pub(super) fn is_everything(&self) -> bool {
        self.everything
    }

    pub(super) fn is_privileged(&self) -> bool {
        self.chosen.iter().any(|chosen| chosen.suite.privileged)
    }
}

/// Refuses when `tests/Cargo.toml` and [`SUITES`] do not name the same suites.
pub(super) fn all_known(binaries: &[Binary]) -> anyhow::Result<()> {
    for binary in binaries {
        if !SUITES.iter().any(|suite| suite.name == binary.suite) {
            bail!(
                "suite {} has no row in xtask/src/test/suites.rs",
                binary.suite
            );
        }
    }
    for suite in SUITES {
        if !binaries.iter().any(|binary| binary.suite == suite.name) {
            bail!("suite {} is not declared in tests/Cargo.toml", suite.name);
        }
    }
    Ok(())
}

fn choose(name: &str) -> anyhow::Result<Chosen> {
    let (suite, part) = match name.split_once("::") {
        Some((suite, part)) => (suite, Some(part.to_owned())),
        None => (name, None),
    };
    let Some(suite) = SUITES.iter().find(|known| known.name == suite) else {
        let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("no suite is called {suite}; there are {}", known.join(", "))
    };
    Ok(Chosen { suite, part })
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn names_choose_suites_and_parts() {
        let all = Selection::parse(&[]).expect("no name is fine");
        assert!(all.is_everything());
        let part = Selection::parse(&["unit::checksum"]).expect("a part is fine");
        assert!(!part.is_everything());
        assert_eq!(part.chosen().len(), 1);
        assert_eq!(part.chosen()[0].part.as_deref(), Some("checksum"));
        let error = Selection::parse(&["unti"]).err().expect("no such suite");
        assert!(
            error.to_string().contains("unit"),
            "the error names what there is: {error}"
        );
    }
}
