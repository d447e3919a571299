// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mode nftables: one table of each family, which holds all that kube-proxy makes.

use super::program::{self, LeftoversError};
use std::fmt;

/// A table of kube-proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    family: &'static str,
}

const NAME: &str = "kube-proxy";

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nft table {} {NAME}", self.family)
    }
}

pub(super) fn find(hints: &mut Vec<String>) -> Result<Vec<Table>, LeftoversError> {
    let Some(list) = program::output("nft", &["list", "tables"])? else {
        hints.push(
            "there is no program nft (package nftables), so whether kube-proxy has run in mode \
             nftables was not looked at"
                .to_owned(),
        );
        return Ok(Vec::new());
    };
    Ok(tables(&list))
}

/// Of lines such as `table ip kube-proxy`.
fn tables(list: &str) -> Vec<Table> {
    let families = ["ip", "ip6"].into_iter();
    let there = families.filter(|family| {
        let line = format!("table {family} {NAME}");
        list.lines().any(|found| found.trim() == line)
    });
    there.map(|family| Table { family }).collect()
}

/// All in one transaction.
pub(super) fn remove(tables: &[Table]) -> Result<(), LeftoversError> {
    if tables.is_empty() {
        return Ok(());
    }
    let lines = tables
        .iter()
        .map(|table| format!("delete table {} {NAME}\n", table.family));
    program::run("nft", &["-f", "-"], &lines.collect::<String>())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_tables_are_meant() {
        for (list, found) in [
            ("", 0),
            ("table ip kube-proxy\n", 1),
            (
                "table ip kube-proxy\ntable ip6 kube-proxy\ntable ip nat\n",
                2,
            ),
            (
                "table inet kube-proxy\ntable ip kube-proxy-mine\ntable ip my-kube-proxy\n",
                0,
            ),
        ] {
            assert_eq!(tables(list).len(), found, "{list}");
        }
    }
}
