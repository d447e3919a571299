// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every type with a fixed layout is in `lb-common/src/wire/`, with its size (STYLE.md, rule 6).

use super::{
    Finding,
    code::is_word,
    tree::{File, Tree},
};

const WIRE: &str = "lb-common/src/wire/";

/// What a program works on while one packet passes. It lies in a map only because a program's stack
/// is small; no other program and no agent reads it.
const SCRATCH: &[&str] = &[
    "lb-common/src/conntrack/choice.rs",
    "lb-common/src/dns/question.rs",
    "lb-common/src/frame.rs",
    "lb-common/src/parse.rs",
    "lb-common/src/select.rs",
    "lb-common/src/service.rs",
    "lb-common/src/related.rs",
    "lb-common/src/tables.rs",
];

/// `repr(C)` only there (or in [`SCRATCH`]), and never without a size assertion.
pub(super) fn layout(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let found = types(&file.code).into_iter().filter_map(|(at, name)| {
            let asserted = format!("assert!(size_of::<{name}");
            if !file.path.starts_with(WIRE) {
                let message = format!("{name} has a fixed layout; such types live in {WIRE}");
                Some(Finding::new(&file.path, at, message))
            } else if !file.code.contains(&asserted) {
                let message = format!("no `const _: () = {asserted}…` says how large {name} is");
                Some(Finding::new(&file.path, at, message))
            } else {
                None
            }
        });
        found.collect::<Vec<_>>()
    };
    let files = tree
        .ending(".rs")
        .filter(|file| !SCRATCH.contains(&&*file.path));
    files.flat_map(of_file).collect()
}

/// Line and name of each type that follows `#[repr(C…)]`.
fn types(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut pending = None;
    for (at, line) in (1..).zip(code.lines()) {
        if line.trim().starts_with("#[repr(C") {
            pending = Some(at);
        }
        let named = ["struct ", "enum ", "union "]
            .iter()
            .find_map(|word| line.split_once(word));
        if let (Some(at), Some((_, name))) = (pending, named) {
            found.push((at, name.chars().take_while(|c| is_word(*c)).collect()));
            pending = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::layout;
    use crate::tidy::check;

    #[test]
    fn layouts_are_in_one_place_with_their_size() {
        let bare = "#[repr(C)]\n#[derive(Clone)]\npub struct Key<A> {\n";
        let sized = format!("{bare}}}\nconst _: () = assert!(size_of::<Key<u8>>() == 1);");
        for (path, text, findings) in [
            ("lb-common/src/wire/flow.rs", &*sized, 0),
            ("lb-common/src/wire/flow.rs", bare, 1),
            ("lb-ebpf/src/maps.rs", &sized, 1),
            ("lb-common/src/frame.rs", bare, 0),
            (
                "lb-ebpf/src/maps.rs",
                "#[repr(transparent)]\nstruct Key(u8);",
                0,
            ),
        ] {
            assert_eq!(
                check(layout, &[(path, text)]).len(),
                findings,
                "{path}: {text}"
            );
        }
    }
}
