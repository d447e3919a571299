// SPDX-License-Identifier: MIT OR Apache-2.0
//! `tests/semantics.txt`, the tests that it names, and `docs/semantics.md` fit together.

use super::{Finding, tree::Tree};
use crate::semantics::{DOCUMENT, Rule, SCRIPTS, SOURCE, Subject, Test, parse, render};
use std::collections::BTreeMap;

/// Every test that the table names is there; every test that is called after a row stands in that
/// row; the document is made of the table.
pub(super) fn table(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.file(SOURCE) else {
        return Vec::new();
    };
    let rules = match parse(&source.text) {
        Ok(rules) => rules,
        Err((line, what)) => return vec![Finding::new(SOURCE, line, what)],
    };
    let there = there(tree);
    let mut findings = missing(&rules, &there);
    findings.extend(unlisted(&rules, &there));
    let document = tree.file(DOCUMENT).map(|file| file.text.as_str());
    if document != Some(&render(&rules)) {
        let message = format!("it is not what {SOURCE} makes of it: cargo xtask semantics");
        findings.push(Finding::new(DOCUMENT, 0, message));
    }
    findings
}

/// Tests by suite (`script` for scripts) and name, with the file that each stands in.
type There<'a> = BTreeMap<(&'a str, &'a str), &'a str>;

fn there(tree: &Tree) -> There<'_> {
    let mut there = There::new();
    for file in tree.files() {
        let script = file.path.strip_prefix(SCRIPTS);
        if let Some(name) = script.and_then(|name| name.strip_suffix(".txt")) {
            there.insert(("script", name), &file.path);
        }
    }
    for file in tree.ending(".rs") {
        let suite = match file.path.strip_prefix("tests/") {
            Some(rest) => rest.split('/').next().unwrap_or(rest),
            None => "unit",
        };
        let mut is_test = false;
        for line in file.code.lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line.contains("test]") || line.contains("test(");
                continue;
            }
            let declared = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ");
            if let Some(name) = declared.and_then(|rest| rest.split('(').next())
                && is_test
            {
                there.insert((suite, name), &file.path);
            }
            // Attributes and comments may stand between; comments are blank here.
            is_test &= line.is_empty();
        }
    }
    there
}

fn missing(rules: &[Rule<'_>], there: &There<'_>) -> Vec<Finding> {
    let named = rules
        .iter()
        .flat_map(|rule| rule.tests().map(move |test| (rule.line, key(test))));
    let lost = named.filter(|(_, key)| !there.contains_key(key));
    lost.map(|(line, (suite, name))| {
        Finding::new(SOURCE, line, format!("there is no test {name} ({suite})"))
    })
    .collect()
}

fn unlisted(rules: &[Rule<'_>], there: &There<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (test, path) in there {
        let number = test.1.strip_prefix("row_");
        let number = number.and_then(|rest| rest.split('_').next()?.parse::<u32>().ok());
        let Some(number) = number else {
            continue;
        };
        let of_row = rules.iter().filter(|rule| match rule.subject {
            Subject::Row(row, _) => row == number,
            Subject::Upstream(..) => false,
        });
        if !of_row
            .flat_map(Rule::tests)
            .any(|listed| key(listed) == *test)
        {
            let message = format!("{} is missing from row {number} of {SOURCE}", test.1);
            findings.push(Finding::new(path, 0, message));
        }
    }
    findings
}

fn key(test: Test<'_>) -> (&str, &str) {
    match test {
        Test::Script(name) => ("script", name),
        Test::Function(suite, name) => (suite, name),
    }
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::{
        semantics::{DOCUMENT, SOURCE, parse, render},
        tidy::check,
    };

    #[test]
    fn table_tests_and_document_fit() {
        let source = "row 1 | x | script row_01_a, unit::row_01_b";
        let document = render(&parse(source).expect("a table"));
        let script = ("tests/control_plane/scripts/row_01_a.txt", "");
        let test = ("xtask/src/x.rs", "#[test]\nfn row_01_b() {}");
        let others = "#[test]\nfn row_01_b() {}\n#[tokio::test]\nasync fn row_01_c() {}";
        let not_a_test = "fn row_01_b() {}";
        for (script, test, document, findings) in [
            (script, test, &*document, 0),
            (("x.txt", ""), test, &document, 1),
            (script, ("xtask/src/x.rs", not_a_test), &document, 1),
            (script, ("tests/node/x.rs", test.1), &document, 2),
            (script, ("xtask/src/x.rs", others), &document, 1),
            (script, test, "old", 1),
        ] {
            let files = [(SOURCE, source), (DOCUMENT, document), script, test];
            let found = check(table, &files);
            assert_eq!(found.len(), findings, "{test:?}: {found:?}");
        }
        assert_eq!(check(table, &[(SOURCE, "row")]).len(), 1);
    }
}
