// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask semantics`: runs the tests that `tests/semantics.txt` names and writes
//! `docs/semantics.md`, the table of rules, tests and results, if all of them pass.
//!
//! The table is checked by `cargo xtask tidy` (tidy/semantics.rs): no test is named that is not
//! there, and the document is what this module makes of the table.

use crate::{
    step,
    test::{self, Manner},
    workspace,
};
use anyhow::{Context as _, bail};
use std::{collections::BTreeSet, fmt::Write as _, fs};

/// Where the rules stand.
pub(crate) const SOURCE: &str = "tests/semantics.txt";
/// What is made of them.
pub(crate) const DOCUMENT: &str = "docs/semantics.md";
/// Where the scripts are, each of which is a test.
pub(crate) const SCRIPTS: &str = "tests/control_plane/scripts/";

/// The test that runs all scripts.
const SCRIPT_RUNNER: &str = "control_plane::come_out_as_written";

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule<'a> {
    /// In the source, counted from 1.
    pub(crate) line: usize,
    pub(crate) subject: Subject<'a>,
    pub(crate) proof: Proof<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// A number, and what must be true.
    Row(u32, &'a str),
    /// The name of an upstream test, and its group.
    Upstream(&'a str, &'a str),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proof<'a> {
    Tests(Vec<Test<'a>>),
    /// Why there is none.
    None(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test<'a> {
    /// A file in [`SCRIPTS`], without its end.
    Script(&'a str),
    /// A function in a suite.
    Function(&'a str, &'a str),
}

/// Runs the tests and rewrites the document.
pub(crate) fn run() -> anyhow::Result<()> {
    let path = workspace::root().join(SOURCE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {SOURCE}"))?;
    let rules = parse(&text).map_err(|(line, what)| anyhow::anyhow!("{SOURCE}:{line}: {what}"))?;
    let mut names = BTreeSet::new();
    for test in rules.iter().flat_map(Rule::tests) {
        names.insert(match test {
            Test::Script(_) => SCRIPT_RUNNER.to_owned(),
            Test::Function(suite, name) => format!("{suite}::{name}"),
        });
    }
    if names.is_empty() {
        bail!("{SOURCE} names no test");
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    test::run(Manner::default(), &names)?;
    step::step("writing docs/semantics.md", || {
        Ok(fs::write(workspace::root().join(DOCUMENT), render(&rules))?)
    })
}

/// Reads the table; on a line that makes no sense, which one and what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule<'_>>, (usize, &'static str)> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| rule(at, line).map_err(|what| (at, what)))
        .collect()
}

fn rule(line: usize, text: &str) -> Result<Rule<'_>, &'static str> {
    let mut cells = text.split(" | ");
    let (Some(first), Some(second), Some(third), None) =
        (cells.next(), cells.next(), cells.next(), cells.next())
    else {
        return Err("three cells are wanted, with ` | ` between them");
    };
    let subject = match first.split_once(' ') {
        Some(("row", number)) => {
            let number = number
                .parse()
                .map_err(|_unparsed| "the row has no number")?;
            Subject::Row(number, second)
        }
        Some(("e2e", group)) => Subject::Upstream(group, second),
        _ => return Err("a line begins with `row NUMBER` or `e2e GROUP`"),
    };
    let proof = match third.strip_prefix("- ") {
        Some(reason) => Proof::None(reason),
        None => Proof::Tests(third.split(", ").map(test).collect::<Result<_, _>>()?),
    };
    Ok(Rule {
        line,
        subject,
        proof,
    })
}

fn test(text: &str) -> Result<Test<'_>, &'static str> {
    match (text.strip_prefix("script "), text.split_once("::")) {
        (Some(name), _) => Ok(Test::Script(name)),
        (None, Some((suite, name))) => Ok(Test::Function(suite, name)),
        _ => Err("a test is `script NAME` or `SUITE::NAME`; no test is `- REASON`"),
    }
}

impl<'a> Rule<'a> {
    pub(crate) fn tests(&self) -> impl Iterator<Item = Test<'a>> + '_ {
        let tests = match &self.proof {
            Proof::Tests(tests) => tests.as_slice(),
            Proof::None(_) => &[],
        };
        tests.iter().copied()
    }
}

/// The document.
pub(crate) fn render(rules: &[Rule<'_>]) -> String {
    let mut text = String::from(INTRODUCTION);
    text.push_str(ROWS);
    for rule in rules {
        if let Subject::Row(number, must) = rule.subject {
            let _infallible = writeln!(text, "| {number} | {must} | {} |", proof(rule));
        }
    }
    text.push_str(UPSTREAM);
    for rule in rules {
        if let Subject::Upstream(group, name) = rule.subject {
            let _infallible = writeln!(text, "| {group} | {name} | {} |", proof(rule));
        }
    }
    text
}

fn proof(rule: &Rule<'_>) -> String {
    let Proof::Tests(tests) = &rule.proof else {
        let Proof::None(reason) = rule.proof else {
            return String::new();
        };
        return format!("{reason} | –");
    };
    let names = tests.iter().map(|test| match test {
        Test::Script(name) => format!("`scripts/{name}.txt`"),
        Test::Function(suite, name) => format!("`{suite}::{name}`"),
    });
    let names: Vec<_> = names.collect();
    format!("{} | pass", names.join(", "))
}

const INTRODUCTION: &str = "\
# What Kubernetes asks of a Service proxy, and what shows that we do it

Made by `cargo xtask semantics` from `tests/semantics.txt`; that verb runs every test named here
and writes nothing unless all pass. `cargo xtask tidy` refuses a table that names a test which is
not there, and a document that is not made of the table. `scripts/…` are those of
`tests/control_plane/`: manifests in, map contents out, with map writes that fail on the way.

";

const ROWS: &str = "\
## Rules

| # | what must be true | tests | result |
| --- | --- | --- | --- |
";

const UPSTREAM: &str = "
## Names of Kubernetes' own tests

Those of the end-to-end and conformance tests that concern the control plane: what of them is
shown by which test of ours, or why there is none.

| group | name | tests, or why not | result |
| --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rules() {
        let text =
            "# about\n\nrow 7 | off | script row_07_x, unit::row_07_y\ne2e DNS | named | - DNS";
        let rules = parse(text).expect("a table");
        assert_eq!(
            rules,
            [
                Rule {
                    line: 3,
                    subject: Subject::Row(7, "off"),
                    proof: Proof::Tests(vec![
                        Test::Script("row_07_x"),
                        Test::Function("unit", "row_07_y")
                    ]),
                },
                Rule {
                    line: 4,
                    subject: Subject::Upstream("DNS", "named"),
                    proof: Proof::None("DNS"),
                },
            ]
        );
        let document = render(&rules);
        let row = "| 7 | off | `scripts/row_07_x.txt`, `unit::row_07_y` | pass |\n";
        assert!(document.contains(row), "{document}");
        assert!(document.ends_with("| DNS | named | DNS | – |\n"));
    }

    #[test]
    fn lines_that_make_no_sense_are_named() {
        for text in [
            "row 7 | off",
            "row seven | off | script x",
            "line 7 | off | script x",
            "row 7 | off | x",
            "row 7 | off | script x | more",
        ] {
            assert_eq!(parse(text).expect_err(text).0, 1);
        }
    }
}
