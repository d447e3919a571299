// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the text of `/metrics` by the rules of the `OpenMetrics` specification, and refuses what
//! breaks one. It shares nothing with the library that writes it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

/// One line with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with a suffix such as `_total`.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// Reads all of it.
pub fn parse(text: &str) -> anyhow::Result<Vec<Sample>> {
    let text = text
        .strip_suffix("# EOF\n")
        .context("the end is not `# EOF`")?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut families = BTreeSet::new();
    let mut family = ("", "unknown");
    let mut series = BTreeSet::new();
    for line in text.lines() {
        let read = || format!("in line {line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            ensure!(is_name(name), "no name {}", read());
            if name != family.0 {
                ensure!(families.insert(name), "a family comes back {}", read());
                family = (name, "unknown");
            }
            match what {
                "TYPE" => family.1 = words.next().with_context(read)?,
                "HELP" | "UNIT" => {}
                _ => bail!("neither TYPE, HELP nor UNIT {}", read()),
            }
            continue;
        }
        let sample = sample(line).with_context(read)?;
        let suffix = sample.name.strip_prefix(family.0).with_context(read)?;
        let fits = match family.1 {
            "counter" => suffix == "_total",
            "histogram" => matches!(suffix, "_bucket" | "_sum" | "_count"),
            "gauge" => suffix.is_empty(),
            _ => false,
        };
        ensure!(fits, "not of family {family:?} {}", read());
        let is_counted = matches!(family.1, "counter" | "histogram");
        ensure!(!is_counted || sample.value >= 0.0, "negative {}", read());
        let key = (sample.name.clone(), sample.labels.clone());
        ensure!(series.insert(key), "twice {}", read());
        samples.push(sample);
    }
    buckets(&samples)?;
    Ok(samples)
}

/// The value of a series.
pub fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let found = samples.iter().find(|sample| {
        let given = labels
            .iter()
            .all(|(label, value)| sample.labels.get(*label).is_some_and(|it| it == value));
        sample.name == name && given && sample.labels.len() == labels.len()
    });
    found.map(|sample| sample.value)
}

/// `NAME{LABEL="VALUE",…} NUMBER`
fn sample(line: &str) -> anyhow::Result<Sample> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(end);
    ensure!(is_name(name), "a bad name");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").context("a label without a value")?;
            ensure!(is_name(label) && !label.contains(':'), "a bad label");
            let (value, after) = quoted(after)?;
            ensure!(
                labels.insert(label.to_owned(), value).is_none(),
                "a label twice"
            );
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest
        .strip_prefix(' ')
        .context("no blank before the value")?;
    let value = value.parse().context("no number")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Text up to a quotation mark, and what follows.
fn quoted(text: &str) -> anyhow::Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some(escaped @ ('\\' | '"')) => value.push(escaped),
                other => bail!("a bad escape {other:?}"),
            },
            other => value.push(other),
        }
    }
    bail!("no end of a label's value")
}

/// For each set of its other labels, buckets of a histogram rise, and the last one holds all.
fn buckets(samples: &[Sample]) -> anyhow::Result<()> {
    let mut last: BTreeMap<_, (f64, f64)> = BTreeMap::new();
    for sample in samples {
        if let Some(name) = sample.name.strip_suffix("_bucket") {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").context("a bucket without le")?;
            let bound: f64 = bound.parse()?;
            let (lower, below) = last
                .insert((name, labels), (bound, sample.value))
                .unwrap_or((f64::MIN, 0.0));
            ensure!(
                bound > lower && sample.value >= below,
                "{name}: buckets fall"
            );
        }
    }
    for ((name, labels), (bound, all)) in last {
        let labels = labels.iter().map(|(label, value)| (&**label, &**value));
        let labels: Vec<_> = labels.collect();
        let count = value(samples, &format!("{name}_count"), &labels);
        ensure!(
            bound.is_infinite() && count == Some(all),
            "{name}: the last bucket is not all"
        );
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    first.is_some_and(|it| it.is_ascii_alphabetic() || "_:".contains(it))
        && characters.all(|it| it.is_ascii_alphanumeric() || "_:".contains(it))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let counter = "# HELP a_b Text.\n# TYPE a_b counter\na_b_total{x=\"y\\\"\"} 1\n";
        let histogram = "# TYPE h histogram\nh_sum 1.0\nh_count 2\n";
        let buckets = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(
            parse(&format!("{counter}{histogram}{buckets}# EOF\n"))
                .unwrap()
                .len(),
            5
        );
        let of = |host: &str, last: u32| {
            format!(
                "l_sum{{h=\"{host}\"}} 1.0\nl_count{{h=\"{host}\"}} 2\n\
                 l_bucket{{le=\"1\",h=\"{host}\"}} 2\n\
                 l_bucket{{le=\"+Inf\",h=\"{host}\"}} {last}\n"
            )
        };
        let labelled = "# TYPE l histogram\n";
        let both = format!("{labelled}{}{}# EOF\n", of("a", 2), of("b", 2));
        assert_eq!(parse(&both).unwrap().len(), 8);
        for (why, text) in [
            (
                "falling buckets of the second of two",
                format!("{labelled}{}{}# EOF\n", of("a", 2), of("b", 1)),
            ),
            ("no end", counter.to_owned()),
            ("no total", "# TYPE a counter\na 1\n# EOF\n".to_owned()),
            (
                "twice",
                format!("{counter}a_b_total{{x=\"y\\\"\"}} 2\n# EOF\n"),
            ),
            (
                "a family comes back",
                format!("{counter}# TYPE g gauge\ng 1\n{counter}# EOF\n"),
            ),
            (
                "a gauge with a suffix",
                "# TYPE g gauge\ng_total 1\n# EOF\n".to_owned(),
            ),
            (
                "falling buckets",
                format!("{histogram}h_bucket{{le=\"1\"}} 3\nh_bucket{{le=\"+Inf\"}} 2\n# EOF\n"),
            ),
            (
                "no last bucket",
                format!("{histogram}h_bucket{{le=\"1\"}} 2\n# EOF\n"),
            ),
            (
                "a negative counter",
                "# TYPE a counter\na_total -1\n# EOF\n".to_owned(),
            ),
            (
                "an open label",
                "# TYPE g gauge\ng{a=\"} 1\n# EOF\n".to_owned(),
            ),
        ] {
            assert!(parse(&text).is_err(), "{why}");
        }
    }
}
