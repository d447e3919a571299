// SPDX-License-Identifier: MIT OR Apache-2.0
//! `CHANGELOG.md` keeps the form of keepachangelog.com.

use super::{Finding, tree::Tree};

const KINDS: &[&str] = &[
    "Added",
    "Changed",
    "Deprecated",
    "Removed",
    "Fixed",
    "Security",
];

/// One title, versions with a date (or Unreleased), and the six kinds of change.
pub(super) fn headings(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file("CHANGELOG.md") else {
        return Vec::new();
    };
    let odd = (1..).zip(file.text.lines()).filter_map(|(at, line)| {
        let is_known = match line.split_once(' ') {
            Some(("#", title)) => title == "Changelog",
            Some(("##", version)) => version == "[Unreleased]" || is_release(version),
            Some(("###", kind)) => KINDS.contains(&kind),
            _ => !line.starts_with('#'),
        };
        let message = format!("not a heading of Keep a Changelog: {line}");
        (!is_known).then(|| Finding::new(&file.path, at, message))
    });
    odd.collect()
}

/// `[1.2.3] - 2026-01-31`.
fn is_release(heading: &str) -> bool {
    let parts = heading
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] - "));
    let numbers = |text: &str, separator: char, count: usize| {
        let mut parts = text.split(separator);
        text.split(separator).count() == count && parts.all(|part| part.parse::<u32>().is_ok())
    };
    parts.is_some_and(|(version, date)| numbers(version, '.', 3) && numbers(date, '-', 3))
}

#[cfg(test)]
mod tests {
    use super::headings;
    use crate::tidy::check;

    #[test]
    fn headings_have_one_form() {
        for (line, findings) in [
            ("# Changelog", 0),
            ("# Changes", 1),
            ("## [Unreleased]", 0),
            ("## [0.1.0] - 2026-11-24", 0),
            ("## 0.1.0", 1),
            ("### Added", 0),
            ("### New", 1),
            ("#### Deeper", 1),
            ("- a line", 0),
        ] {
            assert_eq!(
                check(headings, &[("CHANGELOG.md", line)]).len(),
                findings,
                "{line}"
            );
        }
    }
}
