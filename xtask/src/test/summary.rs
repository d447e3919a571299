// SPDX-License-Identifier: MIT OR Apache-2.0
//! What test binaries say at their end, read and added up.

use anyhow::ensure;
use std::{fmt, ops::AddAssign};

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// How many binaries have given a summary.
    pub(super) binaries: u32,
    pub(super) passed: u32,
    pub(super) failed: u32,
    /// Marked `#[ignore]`.
    pub(super) ignored: u32,
    /// Left out by a name on the command line.
    pub(super) filtered: u32,
}

impl Summary {
    /// Reads libtest's last line; `None` for any other line.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?;
        let count = |what: &str| {
            let part = counts
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what));
            part.and_then(|number| number.trim().parse().ok())
        };
        Some(Self {
            binaries: 1,
            passed: count(" passed")?,
            failed: count(" failed")?,
            ignored: count(" ignored")?,
            filtered: count(" filtered out")?,
        })
    }

    /// Refuses when tests did not run that should have.
    pub(super) fn check_complete(self, in_part: bool) -> anyhow::Result<()> {
        ensure!(self.passed > 0, "no test has run");
        ensure!(
            self.ignored == 0,
            "{} tests are marked #[ignore]",
            self.ignored
        );
        ensure!(
            in_part || self.filtered == 0,
            "{} tests were left out",
            self.filtered
        );
        Ok(())
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.binaries += other.binaries;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.filtered += other.filtered;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    fn line(passed: u32, failed: u32, ignored: u32, filtered: u32) -> String {
        format!(
            "test result: ok. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
             {filtered} filtered out; finished in 1.23s"
        )
    }

    #[test]
    fn the_last_line_of_a_binary_is_read() {
        let summary = Summary {
            binaries: 1,
            passed: 12,
            failed: 3,
            ignored: 2,
            filtered: 1,
        };
        assert_eq!(Summary::parse(&line(12, 3, 2, 1)), Some(summary));
        assert_eq!(Summary::parse("test wire::size ... ok"), None);
        assert_eq!(Summary::parse("test result: nonsense"), None);
    }

    #[test]
    fn what_did_not_run_is_no_success() {
        for (counts, in_part, complete) in [
            (line(5, 0, 0, 0), false, true),
            (line(0, 0, 0, 0), false, false),
            (line(5, 0, 1, 0), false, false),
            (line(5, 0, 0, 1), false, false),
            (line(5, 0, 0, 1), true, true),
            (line(0, 0, 0, 9), true, false),
        ] {
            let summary = Summary::parse(&counts).expect("a summary");
            assert_eq!(
                summary.check_complete(in_part).is_ok(),
                complete,
                "{counts}"
            );
        }
    }
}
