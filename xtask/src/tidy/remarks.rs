// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loose ends: open work without an issue, tests that do not run, stray white space.

use super::{
    Finding,
    code::words,
    tree::{File, Tree},
};

/// Open work names its issue: `TODO(#12)`.
pub(super) fn open_ends(tree: &Tree) -> Vec<Finding> {
    // Put together, so that this file has none.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let of_file = |file: &File| {
        let open = (1..).zip(file.text.lines()).filter_map(|(at, line)| {
            let mark = marks.iter().find(|mark| {
                words(line, mark).any(|at| !line[at + mark.len()..].starts_with("(#"))
            })?;
            Some(Finding::new(
                &file.path,
                at,
                format!("write `{mark}(#issue)`, or do it"),
            ))
        });
        open.collect::<Vec<_>>()
    };
    let texts = tree
        .files()
        .iter()
        .filter(|file| !file.path.ends_with("STYLE.md"));
    texts
        .filter(|file| !file.path.starts_with("xtask/src/tidy/"))
        .flat_map(of_file)
        .collect()
}

/// No test is switched off, and none expects just any panic.
pub(super) fn tests_that_do_not_run(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let found = (1..).zip(file.code.lines()).filter_map(|(at, line)| {
            let marks = ["#[ignore", "#[should_panic"];
            let mark = marks
                .iter()
                .find(|mark| line.trim_start().starts_with(*mark))?;
            Some(Finding::new(
                &file.path,
                at,
                format!("`{mark}]`: a test runs, and says what comes out"),
            ))
        });
        found.collect::<Vec<_>>()
    };
    tree.ending(".rs").flat_map(of_file).collect()
}

/// No blanks at the end of a line, no tabs in Rust, one line break at the end of a file.
pub(super) fn white_space(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let blank = |line: &str| line.ends_with([' ', '\t', '\r']);
        let lines = (1..).zip(file.text.lines()).filter(|(_, line)| blank(line));
        let mut found: Vec<_> = lines
            .map(|(at, _)| Finding::new(&file.path, at, "blanks at the end"))
            .collect();
        let ends_well =
            file.text.is_empty() || file.text.ends_with('\n') && !file.text.ends_with("\n\n");
        if !ends_well {
            found.push(Finding::new(
                &file.path,
                0,
                "does not end in one line break",
            ));
        }
        found
    };
    tree.files()
        .iter()
        .filter(|file| file.path != "Cargo.lock")
        .flat_map(of_file)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{open_ends, tests_that_do_not_run, white_space};
    use crate::tidy::check;

    #[test]
    fn open_work_names_its_issue() {
        let mark = concat!("TO", "DO");
        for (text, findings) in [
            (format!("// {mark}(#7): v6"), 0),
            (format!("// {mark}: v6"), 1),
            (format!("// {mark}S are fine"), 0),
        ] {
            assert_eq!(
                check(open_ends, &[("a.rs", &text)]).len(),
                findings,
                "{text}"
            );
        }
    }

    #[test]
    fn every_test_runs() {
        for (text, findings) in [
            ("#[test]\nfn f() {}", 0),
            ("#[test]\n#[ignore]\nfn f() {}", 1),
            ("#[ignore = \"slow\"]\nfn f() {}", 1),
            ("#[should_panic]\nfn f() {}", 1),
            ("// #[ignore]", 0),
        ] {
            assert_eq!(
                check(tests_that_do_not_run, &[("a.rs", text)]).len(),
                findings,
                "{text}"
            );
        }
    }

    #[test]
    fn white_space_is_seen() {
        for (text, findings) in [
            ("a\n", 0),
            ("", 0),
            ("a \n", 1),
            ("a\r\n", 0),
            ("a", 1),
            ("a\n\n", 1),
            ("a\t\n", 1),
        ] {
            assert_eq!(
                check(white_space, &[("a.md", text)]).len(),
                findings,
                "{text:?}"
            );
        }
    }
}
