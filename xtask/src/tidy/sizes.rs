// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long functions, files and lines may be (STYLE.md, rule 4).

use super::{
    Finding,
    code::words,
    tree::{File, Tree},
};

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 400;
const COLUMNS: usize = 100;

/// Files that are longer, and how long they may be. This list may only shrink.
const LONG_FILES: &[(&str, usize)] = &[];

/// No function over 70 lines, from its `fn` to its last brace.
pub(super) fn functions(tree: &Tree) -> Vec<Finding> {
    let in_file = |file: &File| {
        let long = function_lengths(&file.code).filter(|(_, _, length)| *length > FUNCTION_LINES);
        let findings = long.map(|(line, name, length)| {
            let message = format!("{name} is {length} lines (limit {FUNCTION_LINES})");
            Finding::new(&file.path, line, message)
        });
        findings.collect::<Vec<_>>()
    };
    tree.ending(".rs").flat_map(in_file).collect()
}

/// No Rust file over 400 lines.
pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    let long = tree.ending(".rs").filter_map(|file| {
        let listed = LONG_FILES.iter().find(|(path, _)| *path == file.path);
        let limit = listed.map_or(FILE_LINES, |(_, limit)| *limit);
        let length = file.text.lines().count();
        let message = format!("{length} lines (limit {limit})");
        (length > limit).then(|| Finding::new(&file.path, 0, message))
    });
    long.collect()
}

/// No line over 100 columns in what people read as text; tables, addresses and
/// texts that are data may be longer.
pub(super) fn columns(tree: &Tree) -> Vec<Finding> {
    let of_file = |file: &File| {
        let long = (1..).zip(file.text.lines()).filter(|(_, line)| {
            let is_text = line
                .trim_start()
                .trim_start_matches(['r', '#'])
                .starts_with('"');
            let exempt = is_text || line.starts_with('|') || line.contains("https://");
            !exempt && line.chars().count() > COLUMNS
        });
        let message = format!("more than {COLUMNS} columns");
        long.map(|(at, _)| Finding::new(&file.path, at, &*message))
            .collect::<Vec<_>>()
    };
    let ends = [".rs", ".md", ".sh"];
    tree.files()
        .iter()
        .filter(|file| ends.iter().any(|end| file.path.ends_with(end)))
        .flat_map(of_file)
        .collect()
}

/// Line, name and length of each function with a body.
fn function_lengths(code: &str) -> impl Iterator<Item = (usize, String, usize)> {
    let starts = code.lines().scan(0, |at, line| {
        let start = *at;
        *at += line.len() + 1;
        Some((start, line))
    });
    (1..).zip(starts).filter_map(|(number, (start, line))| {
        let at = words(line, "fn").next()?;
        let name: String = line[at + 2..]
            .trim_start()
            .chars()
            .take_while(|c| *c != '(')
            .collect();
        let body = &code[start + at..];
        // A type such as `fn(u32)` has no name, a declaration in a trait no body.
        let ends = body.find(';').unwrap_or(body.len());
        let opens = body
            .find('{')
            .filter(|opens| *opens < ends || body[..*opens].contains('['))?;
        let length = body[..=closing_brace(body, opens)?].lines().count();
        (!name.is_empty()).then_some((number, name, length))
    })
}

fn closing_brace(text: &str, opens: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().skip(opens) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{columns, files, functions};
    use crate::tidy::check;

    fn function(lines: usize) -> String {
        format!(
            "trait T {{ fn declared(&self); }}\nfn long() {{\n{}}}\n",
            "x;\n".repeat(lines - 2)
        )
    }

    #[test]
    fn functions_have_a_limit() {
        assert_eq!(check(functions, &[("a.rs", &function(70))]), [""; 0]);
        let found = check(functions, &[("a.rs", &function(71))]);
        assert_eq!(found, ["a.rs:2: long is 71 lines (limit 70)"]);
    }

    #[test]
    fn files_have_a_limit() {
        assert_eq!(check(files, &[("a.rs", &"\n".repeat(400))]), [""; 0]);
        assert_eq!(
            check(files, &[("a.rs", &"\n".repeat(401))]),
            ["a.rs: 401 lines (limit 400)"]
        );
    }

    #[test]
    fn lines_have_a_limit() {
        let long = "ä".repeat(101);
        let table = format!("| {long} |");
        let found = check(
            columns,
            &[("a.rs", &long), ("b.md", &table), ("c.lock", &long)],
        );
        assert_eq!(found, ["a.rs:1: more than 100 columns"]);
    }
}
