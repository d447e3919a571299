// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a Rust file begins: licence, then what it decides (STYLE.md, rule 10).

use super::{Finding, tree::Tree};

const LICENCE: &str = "// SPDX-License-Identifier: MIT OR Apache-2.0";
const LICENCE_BPF: &str = "// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0";

/// The first line names the licence of its crate.
pub(super) fn licence(tree: &Tree) -> Vec<Finding> {
    let without = tree.ending(".rs").filter_map(|file| {
        let is_bpf = file.path.starts_with("lb-ebpf/");
        let wanted = if is_bpf { LICENCE_BPF } else { LICENCE };
        let message = format!("the first line is not `{wanted}`");
        (file.text.lines().next() != Some(wanted)).then(|| Finding::new(&file.path, 1, message))
    });
    without.collect()
}

/// The second begins the module's documentation.
pub(super) fn purpose(tree: &Tree) -> Vec<Finding> {
    let without = tree.ending(".rs").filter_map(|file| {
        let documented = file
            .text
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("//! "));
        let message = "the second line is not `//! ` and what the module decides";
        (!documented).then(|| Finding::new(&file.path, 2, message))
    });
    without.collect()
}

#[cfg(test)]
mod tests {
    use super::{LICENCE, LICENCE_BPF, licence, purpose};
    use crate::tidy::check;

    #[test]
    fn the_licence_is_that_of_the_crate() {
        let files = [
            ("lb-common/src/a.rs", LICENCE),
            ("lb-common/src/b.rs", LICENCE_BPF),
            ("lb-ebpf/src/c.rs", LICENCE_BPF),
            ("lb-ebpf/src/d.rs", LICENCE),
            ("lb-ebpf/src/e.rs", ""),
        ];
        let found = check(licence, &files).join("\n");
        for (path, text) in [
            ("b.rs", LICENCE),
            ("d.rs", LICENCE_BPF),
            ("e.rs", LICENCE_BPF),
        ] {
            assert!(
                found.contains(path) && found.contains(text),
                "{path}: {found}"
            );
        }
        assert_eq!(found.lines().count(), 3, "{found}");
    }

    #[test]
    fn modules_say_what_they_decide() {
        let found = check(
            purpose,
            &[("a.rs", "// x\n//! Decides.\n"), ("b.rs", "// x\nuse y;")],
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("b.rs:2"), "{found:?}");
    }
}
