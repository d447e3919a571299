// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two walks in `docs/` and the `mod` lines of the two crates tell the same story.

use super::{Finding, tree::Tree};

/// A document, and the crate whose modules it meets in order.
const WALKS: &[(&str, &str)] = &[
    ("docs/packet-walk.md", "lb-common/src/"),
    ("docs/service-walk.md", "lb-userspace/src/"),
];

/// Modules stand in `lib.rs` in the order in which the walk's table meets them.
pub(super) fn order(tree: &Tree) -> Vec<Finding> {
    let walk = |(walk, source): &(&str, &str)| {
        let steps = steps(&tree.file(walk)?.text, source);
        let lib = tree.file(&format!("{source}lib.rs"))?;
        let declared: Vec<_> = lib.code.lines().filter_map(module).collect();
        let place = |step: &str| declared.iter().position(|module| *module == step);
        let mut last = None;
        for (at, step) in steps {
            let here = place(&step);
            if here.is_some() && here < last {
                let message = format!("`{step}` comes earlier in {}", lib.path);
                return Some(Finding::new(walk, at, message));
            }
            last = here.or(last);
        }
        None
    };
    WALKS.iter().filter_map(walk).collect()
}

/// Line and module of each row of the table that is the first to name that module.
fn steps(text: &str, source: &str) -> Vec<(usize, String)> {
    let mut steps: Vec<(usize, String)> = Vec::new();
    for (at, row) in (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.starts_with('|'))
    {
        for named in row.split(source).skip(1) {
            let module: String = named
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !steps.iter().any(|(_, met)| *met == module) {
                steps.push((at, module));
            }
        }
    }
    steps
}

fn module(line: &str) -> Option<&str> {
    line.trim()
        .strip_suffix(';')?
        .strip_prefix("pub ")
        .unwrap_or(line.trim_end_matches(';'))
        .strip_prefix("mod ")
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::tidy::check;

    #[test]
    fn a_walk_goes_in_one_direction() {
        let lib = (
            "lb-common/src/lib.rs",
            "mod wire;\npub mod parse;\npub mod select;\n",
        );
        let row = |file: &str| format!("| x | `lb-common/src/{file}` |\n");
        for (files, findings) in [
            (["parse.rs", "select.rs", "wire/flow.rs"], 1),
            (["parse.rs", "select.rs", "parse.rs"], 0),
            (["wire.rs", "parse.rs", "unknown.rs"], 0),
            (["select.rs", "parse.rs", "wire.rs"], 1),
        ] {
            let walk: String = files.map(row).concat();
            let found = check(order, &[lib, ("docs/packet-walk.md", &walk)]);
            assert_eq!(found.len(), findings, "{files:?}");
        }
    }
}
