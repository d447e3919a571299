// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many instructions the kernel's verifier walks for each program, and how many it may.
//!
//! Counts belong to a series of kernels (`6.1`): verifiers differ. They travel as lines of text,
//! `verified 6.1 weiche_ingress 1234`, because some come from a guest's serial console.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

/// What begins a line with a count.
const MARK: &str = "verified ";
/// How much a program may grow before somebody has to say so, in percent.
const GROWTH: u64 = 10;

/// Counts by series and program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<(String, String), u64>);

impl Counts {
    /// Reads every line that has a count; others are passed over.
    pub fn read(text: &str) -> Self {
        let count = |line: &str| {
            let mut words = line.trim().strip_prefix(MARK)?.split_whitespace();
            let (series, program) = (words.next()?, words.next()?);
            let count = words.next()?.parse().ok()?;
            Some(((series.to_owned(), program.to_owned()), count))
        };
        Self(text.lines().filter_map(count).collect())
    }

    /// Adds one.
    pub fn add(&mut self, series: &str, program: &str, count: u64) {
        self.0
            .insert((series.to_owned(), program.to_owned()), count);
    }

    /// One line for each.
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for ((series, program), count) in &self.0 {
            // Writing to a String cannot fail.
            let _ok = writeln!(lines, "{MARK}{series} {program} {count}");
        }
        lines
    }

    /// Compares with `tests/datapath/verifier.expect`, or writes it when `WEICHE_BLESS` is set.
    /// A series of kernels that nobody has measured yet has nothing to be compared with.
    pub fn check(&self) -> anyhow::Result<()> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("datapath/verifier.expect");
        let committed = Self::read(&std::fs::read_to_string(&path)?);
        if std::env::var_os("WEICHE_BLESS").is_some() {
            return Ok(std::fs::write(path, self.merged(committed).lines())?);
        }
        for (series, program) in self.0.keys().filter(|(series, _)| !committed.has(series)) {
            println!("not compared: {program} on Linux {series}, which has not been measured yet");
        }
        let complaints = self.complaints(&committed);
        anyhow::ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
        Ok(())
    }

    /// What has grown too much, is new, or is gone, in the series that were measured.
    fn complaints(&self, committed: &Self) -> Vec<String> {
        let advice = "see `cargo xtask verifier`, and accept it with `--bless`";
        let mut complaints = Vec::new();
        for ((series, program), count) in &self.0 {
            let key = (series.clone(), program.clone());
            match committed.0.get(&key) {
                None if !committed.has(series) => {}
                None => complaints.push(format!("{program} is new on Linux {series}: {advice}")),
                Some(before) if count * 100 > before * (100 + GROWTH) => complaints.push(format!(
                    "{program} has grown from {before} to {count} instructions on Linux {series}, \
                     by more than {GROWTH} %: {advice}"
                )),
                Some(_) => {}
            }
        }
        for (series, program) in committed.0.keys().filter(|(series, _)| self.has(series)) {
            if !self.0.contains_key(&(series.clone(), program.clone())) {
                complaints.push(format!("{program} is gone on Linux {series}: {advice}"));
            }
        }
        complaints
    }

    /// The committed ones, with those of the series that were measured replaced.
    fn merged(&self, mut committed: Self) -> Self {
        committed.0.retain(|(series, _), _| !self.has(series));
        committed.0.extend(self.0.clone());
        committed
    }

    fn has(&self, series: &str) -> bool {
        self.0.keys().any(|(other, _)| other == series)
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn growth_is_noticed() {
        let committed = Counts::read("verified 6.1 a 1000\nnoise\nverified 6.1 b 50\n");
        for (now, complaint) in [
            ("verified 6.1 a 1100\nverified 6.1 b 1", ""),
            (
                "verified 6.1 a 1101\nverified 6.1 b 50",
                "a has grown from 1000 to 1101",
            ),
            (
                "verified 6.1 a 1\nverified 6.1 b 1\nverified 6.1 c 1",
                "c is new",
            ),
            ("verified 6.1 a 1", "b is gone"),
            ("verified 6.2 a 9999", ""),
        ] {
            let complaints = Counts::read(now).complaints(&committed);
            assert_eq!(
                complaints.is_empty(),
                complaint.is_empty(),
                "{now}: {complaints:?}"
            );
            assert!(
                complaints.join("").contains(complaint),
                "{now}: {complaints:?}"
            );
        }
    }

    #[test]
    fn blessing_replaces_what_was_measured() {
        let committed = Counts::read("verified 6.1 a 1\nverified 6.1 b 1\nverified 6.2 a 2\n");
        let merged = Counts::read("verified 6.1 a 3").merged(committed);
        assert_eq!(merged.lines(), "verified 6.1 a 3\nverified 6.2 a 2\n");
    }
}
