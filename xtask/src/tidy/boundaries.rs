// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be used where (ARCHITECTURE.md, invariants).

use super::{
    Finding,
    code::words,
    tree::{File, Tree},
};

/// Something that only some files may use.
struct Boundary {
    /// A word of code; a crate's name means paths that begin with it.
    word: &'static str,
    /// Where the rule holds.
    within: &'static str,
    /// Files, and folders with a `/` at the end, that may.
    allowed: &'static [&'static str],
    why: &'static str,
}

const WATCH: &[&str] = &["lb-userspace/src/watch.rs", "lb-userspace/src/watch/"];
const KERNEL: &[&str] = &[
    "lb-userspace/src/datapath.rs",
    "lb-userspace/src/datapath/",
    "lb-userspace/src/maps/kernel.rs",
    "lb-userspace/src/maps/kernel/",
    "lb-userspace/src/maps/pod.rs",
];
const CLOCK: &[&str] = &["lb-userspace/src/clock.rs"];

const BOUNDARIES: &[Boundary] = &[
    Boundary {
        word: "unsafe",
        within: "lb-common/",
        allowed: &[],
        why: "what a packet means needs no unsafe",
    },
    Boundary {
        word: "kube",
        within: "lb-userspace/src/",
        allowed: WATCH,
        why: "Kubernetes' types stop at watch",
    },
    Boundary {
        word: "k8s_openapi",
        within: "lb-userspace/src/",
        allowed: WATCH,
        why: "Kubernetes' types stop at watch",
    },
    Boundary {
        word: "aya",
        within: "lb-userspace/src/",
        allowed: KERNEL,
        why: "the kernel is reached through maps and datapath alone",
    },
    Boundary {
        word: "Instant::now",
        within: "lb-userspace/src/",
        allowed: CLOCK,
        why: "time is an argument",
    },
    Boundary {
        word: "SystemTime::now",
        within: "lb-userspace/src/",
        allowed: CLOCK,
        why: "time is an argument",
    },
];

/// Nothing is used outside its boundary.
pub(super) fn places(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let rules = BOUNDARIES.iter().filter(|rule| {
            file.path.starts_with(rule.within)
                && !rule.allowed.iter().any(|allowed| is_in(file, allowed))
        });
        let found = rules.flat_map(|rule| uses(file, rule));
        found.collect::<Vec<_>>()
    };
    tree.ending(".rs").flat_map(of_file).collect()
}

/// `lb-common` depends on zerocopy alone.
pub(super) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let Some(manifest) = tree.file("lb-common/Cargo.toml") else {
        return Vec::new();
    };
    let section = (1..).zip(manifest.text.lines());
    let section = section
        .skip_while(|(_, line)| *line != "[dependencies]")
        .skip(1);
    let entries = section.take_while(|(_, line)| !line.starts_with('['));
    let foreign = entries.filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with("zerocopy")
    });
    let message = "lb-common depends on zerocopy alone: it must also run in the kernel";
    foreign
        .map(|(at, _)| Finding::new(&manifest.path, at, message))
        .collect()
}

fn is_in(file: &File, allowed: &str) -> bool {
    file.path == allowed || (allowed.ends_with('/') && file.path.starts_with(allowed))
}

fn uses(file: &File, rule: &Boundary) -> Vec<Finding> {
    let is_crate = matches!(rule.word, "kube" | "k8s_openapi" | "aya");
    let used = file.product().filter(|(_, line)| {
        words(line, rule.word).any(|at| !is_crate || begins_path(line, at, rule.word))
    });
    let message = format!("`{}` does not belong here: {}", rule.word, rule.why);
    used.map(|(at, _)| Finding::new(&file.path, at, &*message))
        .collect()
}

/// Whether a crate's name begins a path here: not a module of ours with the same name.
fn begins_path(line: &str, at: usize, word: &str) -> bool {
    let (before, after) = (line[..at].trim_end(), &line[at + word.len()..]);
    !before.ends_with("::") && (after.starts_with("::") || before.ends_with("use"))
}

#[cfg(test)]
mod tests {
    use super::{dependencies, places};
    use crate::tidy::check;

    #[test]
    fn nothing_crosses_its_boundary() {
        for (path, text, findings) in [
            ("lb-common/src/parse.rs", "unsafe { x() }", 1),
            ("lb-common/src/lib.rs", "#![forbid(unsafe_code)]", 0),
            ("lb-userspace/src/model.rs", "use kube::Client;", 1),
            ("lb-userspace/src/model.rs", "let x: kube::Client;", 1),
            (
                "lb-userspace/src/model.rs",
                "use crate::watch::kube::list;",
                0,
            ),
            ("lb-userspace/src/watch/services.rs", "use kube::Client;", 0),
            ("lb-userspace/src/model.rs", "use k8s_openapi::api;", 1),
            ("lb-userspace/src/maps.rs", "use aya::maps::Map;", 1),
            ("lb-userspace/src/maps/kernel.rs", "use aya::maps::Map;", 0),
            ("lb-userspace/src/plan.rs", "let now = Instant::now();", 1),
            (
                "lb-userspace/src/plan.rs",
                "#[cfg(test)]\nmod tests { Instant::now(); }",
                0,
            ),
            ("lb-userspace/src/clock.rs", "Instant::now()", 0),
        ] {
            assert_eq!(
                check(places, &[(path, text)]).len(),
                findings,
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn lb_common_stays_alone() {
        for (entries, findings) in [
            ("zerocopy.workspace = true\n[lints]\nworkspace = true", 0),
            (
                "zerocopy.workspace = true\naya.workspace = true\n[dev-dependencies]\nx = 1",
                1,
            ),
        ] {
            let manifest = format!("[package]\n[dependencies]\n{entries}");
            let found = check(dependencies, &[("lb-common/Cargo.toml", &manifest)]);
            assert_eq!(found.len(), findings, "{manifest}");
        }
    }
}
