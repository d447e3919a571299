// SPDX-License-Identifier: MIT OR Apache-2.0
//! No dead files: each is a crate's root or named by a `mod` line.

use super::{Finding, tree::Tree};

/// Every Rust file is compiled.
pub(super) fn reachable(tree: &Tree) -> Vec<Finding> {
    let manifests: Vec<_> = tree.ending("Cargo.toml").map(|file| &*file.text).collect();
    let dead = tree.ending(".rs").filter(|file| {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let stem = name.trim_end_matches(".rs");
        let is_root = matches!(name, "main.rs" | "lib.rs" | "build.rs")
            || folder.ends_with("/bin")
            || manifests
                .iter()
                .any(|manifest| names_root(manifest, &file.path));
        let parents = [
            format!("{folder}.rs"),
            format!("{folder}/main.rs"),
            format!("{folder}/lib.rs"),
        ];
        let declared = |parent: &String| {
            tree.file(parent)
                .is_some_and(|file| declares(&file.code, stem))
        };
        !is_root && !parents.iter().any(declared) && !in_crate_tests(&file.path)
    });
    dead.map(|file| Finding::new(&file.path, 0, "no `mod` line names this file"))
        .collect()
}

/// Whether a manifest says `path = "…"` of the file.
fn names_root(manifest: &str, path: &str) -> bool {
    manifest.lines().any(|line| {
        let named = line
            .split_once("path = \"")
            .and_then(|(_, rest)| rest.split('"').next());
        named.is_some_and(|named| path.ends_with(&format!("/{named}")))
    })
}

/// `tests/*.rs` of a crate are roots of their own.
fn in_crate_tests(path: &str) -> bool {
    let folders: Vec<_> = path.split('/').collect();
    matches!(folders[..], [_, "tests" | "examples" | "benches", _])
}

fn declares(code: &str, stem: &str) -> bool {
    let wanted = format!("mod {stem};");
    code.lines()
        .any(|line| line.trim() == wanted || line.trim().ends_with(&format!(" {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::reachable;
    use crate::tidy::check;

    #[test]
    fn files_without_a_mod_line_are_dead() {
        let files = [
            ("tests/Cargo.toml", "[[test]]\npath = \"node/entry.rs\""),
            ("tests/node/entry.rs", ""),
            ("lb-common/src/lib.rs", "mod wire;\npub(crate) mod parse;"),
            ("lb-common/src/wire.rs", "mod flow;"),
            ("lb-common/src/wire/flow.rs", ""),
            ("lb-common/src/wire/lost.rs", ""),
            ("lb-common/src/parse.rs", ""),
            ("lb-common/tests/properties.rs", ""),
            ("xtask/src/main.rs", "// mod gone;"),
            ("xtask/src/gone.rs", ""),
        ];
        let found = check(reachable, &files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("lb-common/src/wire/lost.rs"),
            "{found:?}"
        );
        assert!(found[1].starts_with("xtask/src/gone.rs"), "{found:?}");
    }
}
