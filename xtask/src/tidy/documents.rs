// SPDX-License-Identifier: MIT OR Apache-2.0
//! What documents name must be there: files in backticks and targets of links.

use super::{
    Finding,
    tree::{File, Tree},
};

/// Folders whose paths, in backticks, are claims about this repository.
const FOLDERS: &[&str] = &[
    ".cargo/",
    ".ci/",
    "deploy/",
    "docs/",
    "examples/",
    "lb-common/",
    "lb-ebpf/",
    "lb-userspace/",
    "tests/",
    "xtask/",
];

/// Every path in backticks exists. One with a placeholder (`*`, `<`, `{`, `…`) is not looked up.
pub(super) fn paths(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let named = prose(file).flat_map(|(at, line)| {
            let code = line.split('`').skip(1).step_by(2);
            code.map(move |code| (at, code)).collect::<Vec<_>>()
        });
        let lost = named.filter(|(_, path)| {
            let is_path = FOLDERS.iter().any(|folder| path.starts_with(folder));
            let open = path.contains(['*', '<', '{', '…', ' ', '$']);
            is_path && !open && !tree.has(path.split([':', '#']).next().unwrap_or(path))
        });
        let findings =
            lost.map(|(at, path)| Finding::new(&file.path, at, format!("there is no `{path}`")));
        findings.collect::<Vec<_>>()
    };
    tree.ending(".md").flat_map(of_file).collect()
}

/// Every link to a file of ours leads to one.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let targets = prose(file).flat_map(|(at, line)| {
            let targets = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            targets.map(move |target| (at, target)).collect::<Vec<_>>()
        });
        let lost = targets.filter_map(|(at, target)| {
            let target = target.split('#').next().unwrap_or_default();
            let ours =
                !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            let path = resolve(&file.path, target);
            let lost = ours && !path.is_some_and(|path| path.is_empty() || tree.has(&path));
            lost.then(|| {
                Finding::new(
                    &file.path,
                    at,
                    format!("the link to {target} leads nowhere"),
                )
            })
        });
        lost.collect::<Vec<_>>()
    };
    tree.ending(".md").flat_map(of_file).collect()
}

/// Lines outside of code blocks.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    (1..).zip(file.text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    })
}

/// A link's target from the root of the repository; `None` if it leaves it.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                folders.pop()?;
            }
            name => folders.push(name),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{links, paths};
    use crate::tidy::check;

    #[test]
    fn paths_in_backticks_exist() {
        for (text, findings) in [
            ("See `docs/a.md` and `docs/`.", 0),
            ("See `docs/gone.md`.", 1),
            ("See `docs/<name>.md`, `target/debug` and `docs/a.md:7`.", 0),
            ("```\n`docs/gone.md`\n```", 0),
        ] {
            assert_eq!(
                check(paths, &[("docs/a.md", text)]).len(),
                findings,
                "{text}"
            );
        }
    }

    #[test]
    fn links_lead_somewhere() {
        for (text, findings) in [
            (
                "[a](a.md), [b](../README.md#top), [c](#here), [d](https://example.org/x)",
                0,
            ),
            ("[gone](gone.md)", 1),
            ("[outside](../../x.md)", 1),
        ] {
            let files = [("docs/a.md", text), ("README.md", "")];
            assert_eq!(check(links, &files).len(), findings, "{text}");
        }
    }
}
