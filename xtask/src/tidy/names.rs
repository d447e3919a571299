// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of files and of what `lb-common` defines (STYLE.md, rules 2 and 5).

use super::{
    Finding,
    code::{is_word, words},
    tree::{File, Tree},
};

/// Stems of files that collect what has no home.
const NO_HOME: &[&str] = &[
    "utils", "util", "helpers", "helper", "misc", "common", "traits", "types",
];

/// A file is named after what it does, and a module with children is `foo.rs` beside `foo/`.
pub(super) fn no_home(tree: &Tree) -> Vec<Finding> {
    let badly_named = tree.ending(".rs").filter_map(|file| {
        let stem = file.path.rsplit('/').next()?.strip_suffix(".rs")?;
        let message = if stem == "mod" {
            "write `foo.rs` beside `foo/`, so that editor tabs have names".to_owned()
        } else if NO_HOME.contains(&stem) || stem.ends_with("_utils") {
            format!("`{stem}` says nothing of what is in it")
        } else {
            return None;
        };
        Some(Finding::new(&file.path, 0, message))
    });
    badly_named.collect()
}

/// `lb-common` defines nothing for one family alone, but in `family.rs`.
pub(super) fn family(tree: &Tree) -> Vec<Finding> {
    let in_file = |file: &File| {
        let found = file.product().filter_map(|(at, line)| {
            let name = defined(line).filter(|name| names_family(name))?;
            let message = format!("{name} is for one family; write it once, generic over Family");
            Some(Finding::new(&file.path, at, message))
        });
        found.collect::<Vec<_>>()
    };
    let files = tree
        .ending(".rs")
        .filter(|file| file.path.starts_with("lb-common/src/"));
    files
        .filter(|file| !file.path.ends_with("/family.rs"))
        .flat_map(in_file)
        .collect()
}

const DEFINERS: &[&str] = &[
    "fn", "struct", "enum", "trait", "type", "const", "static", "mod",
];

/// The name of the item that begins in a line.
fn defined(line: &str) -> Option<&str> {
    let after = |definer: &&str| {
        words(line, definer)
            .next()
            .map(|at| &line[at + definer.len()..])
    };
    let name = DEFINERS.iter().find_map(after)?.trim_start();
    let length = name
        .chars()
        .take_while(|character| is_word(*character))
        .count();
    name.get(..length).filter(|name| !name.is_empty())
}

/// Whether a run of digits in it is just `4` or `6`: `V4`, `lb6_select`, but not `u16` or `x64`.
fn names_family(name: &str) -> bool {
    let runs = name.split(|character: char| !character.is_ascii_digit());
    runs.into_iter().any(|run| run == "4" || run == "6")
}

#[cfg(test)]
mod tests {
    use super::{family, no_home};
    use crate::tidy::check;

    #[test]
    fn files_say_what_they_do() {
        for (path, findings) in [
            ("x/src/select.rs", 0),
            ("x/src/utils.rs", 1),
            ("x/src/packet_utils.rs", 1),
            ("x/src/common.rs", 1),
            ("x/src/wire/mod.rs", 1),
            ("lb-common/src/lib.rs", 0),
        ] {
            assert_eq!(check(no_home, &[(path, "")]).len(), findings, "{path}");
        }
    }

    #[test]
    fn nothing_is_written_twice_for_two_families() {
        for (path, text, findings) in [
            (
                "lb-common/src/select.rs",
                "fn choose<F: Family>(key: u64) {}",
                0,
            ),
            ("lb-common/src/select.rs", "pub fn lb4_select() {}", 1),
            (
                "lb-common/src/select.rs",
                "const IPV6_HEADER: usize = 40;",
                1,
            ),
            (
                "lb-common/src/select.rs",
                "const _: () = assert!(size_of::<Key<V4>>() == 8);",
                0,
            ),
            ("lb-common/src/select.rs", "#[cfg(test)]\nfn v4() {}", 0),
            ("lb-common/src/family.rs", "pub struct V4;", 0),
            ("lb-ebpf/src/maps.rs", "static FLOWS_V4: u8 = 0;", 0),
        ] {
            assert_eq!(
                check(family, &[(path, text)]).len(),
                findings,
                "{path}: {text}"
            );
        }
    }
}
