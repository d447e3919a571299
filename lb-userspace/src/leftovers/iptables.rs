// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mode iptables: chains of kube-proxy's names in the tables that everybody shares, and the rules
//! that lead there.

use super::program::{self, LeftoversError};
use std::fmt::Write as _;

/// Chains that kube-proxy makes, in any of its versions (`CleanupLeftovers` in
/// `pkg/proxy/iptables/proxier.go` and `pkg/proxy/ipvs/proxier.go`). Not in it: the kubelet's
/// `KUBE-IPTABLES-HINT`, `KUBE-KUBELET-CANARY`, `KUBE-FIREWALL` and `KUBE-MARK-DROP`.
const NAMES: &[&str] = &[
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-FORWARD",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
    "KUBE-PROXY-FIREWALL",
    "KUBE-PROXY-CANARY",
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
];

/// One chain for each Service or endpoint: the rest of the name is a hash of 16 characters.
const PREFIXES: &[&str] = &[
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-EXT-",
    "KUBE-SEP-",
    "KUBE-FW-",
    "KUBE-XLB-",
];
const HASH: usize = 16;

/// What kube-proxy has in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chains {
    /// `iptables-nft` and so on.
    program: String,
    table: String,
    names: Vec<String>,
    /// Rules in other chains that lead to them, without `-A`.
    jumps: Vec<String>,
}

/// Looks through both families, and through both kinds of iptables where both are there.
pub(super) fn find(hints: &mut Vec<String>) -> Result<Vec<Chains>, LeftoversError> {
    let mut found = Vec::new();
    for family in ["iptables", "ip6tables"] {
        let mut is_there = false;
        for kind in ["-nft", "-legacy", ""] {
            // The plain name is one of the two others.
            if kind.is_empty() && is_there {
                continue;
            }
            let program = format!("{family}{kind}");
            if let Some(saved) = program::output(&format!("{program}-save"), &[])? {
                is_there = true;
                found.extend(chains(&program, &saved));
            }
        }
        if !is_there {
            hints.push(format!(
                "there is no program {family}-save (package iptables), so whether kube-proxy has \
                 run in mode iptables was not looked at"
            ));
        }
    }
    Ok(found)
}

/// Reads what `iptables-save` prints.
fn chains(program: &str, saved: &str) -> Vec<Chains> {
    let mut all: Vec<Chains> = Vec::new();
    for line in saved.lines() {
        if let Some(table) = line.strip_prefix('*') {
            all.push(Chains {
                program: program.to_owned(),
                table: table.to_owned(),
                names: Vec::new(),
                jumps: Vec::new(),
            });
        }
        let Some(table) = all.last_mut() else {
            continue;
        };
        if let Some(chain) = line.strip_prefix(':') {
            let chain = chain.split(' ').next().unwrap_or_default();
            if is_known(chain) {
                table.names.push(chain.to_owned());
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap_or_default();
            if !is_known(chain) && target(rule).is_some_and(is_known) {
                table.jumps.push(rule.to_owned());
            }
        }
    }
    all.retain(|table| !table.names.is_empty());
    all
}

fn is_known(chain: &str) -> bool {
    let is_hash = |hash: &str| {
        hash.len() == HASH
            && hash
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    NAMES.contains(&chain)
        || PREFIXES
            .iter()
            .any(|prefix| chain.strip_prefix(prefix).is_some_and(is_hash))
}

/// Where a rule leads. A comment may hold anything, in quotation marks.
fn target(rule: &str) -> Option<&str> {
    let outside = rule.rsplit_once('"').map_or(rule, |(_, after)| after);
    let mut words = outside.split(' ');
    words.find(|word| matches!(*word, "-j" | "-g"))?;
    words.next()
}

impl Chains {
    pub(super) fn lines(&self) -> Vec<String> {
        let Self {
            program,
            table,
            names,
            jumps,
        } = self;
        let chains = names
            .iter()
            .map(|chain| format!("{program} -t {table}: chain {chain}"));
        let jumps = jumps
            .iter()
            .map(|jump| format!("{program} -t {table}: rule -A {jump}"));
        jumps.chain(chains).collect()
    }

    /// In one step, which leaves everything else of the table as it is.
    pub(super) fn remove(&self) -> Result<(), LeftoversError> {
        let program = format!("{}-restore", self.program);
        program::run(&program, &["--noflush", "-w", "5"], &self.script())?;
        Ok(())
    }

    fn script(&self) -> String {
        let mut script = format!("*{}\n", self.table);
        // Naming a chain so empties it: chains may lead to each other, and only empty ones that
        // nobody leads to can go.
        for chain in &self.names {
            // Writing to a String cannot fail.
            let _written = writeln!(script, ":{chain} - [0:0]");
        }
        for jump in &self.jumps {
            let _written = writeln!(script, "-D {jump}");
        }
        for chain in &self.names {
            let _written = writeln!(script, "-X {chain}");
        }
        script.push_str("COMMIT\n");
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-SVC-mine - [0:0]
-A PREROUTING -m comment --comment \"not -j KUBE-SERVICES\" -j ACCEPT
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -j KUBE-SVC-ABCDEFGHIJKLMNOP
-A KUBE-SVC-mine -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
COMMIT
";

    #[test]
    fn kube_proxy_s_chains_are_told_from_others() {
        let found = chains("iptables", SAVED);
        assert_eq!(found.len(), 1, "nothing of it is in filter: {found:?}");
        assert_eq!(
            found[0].script(),
            "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]\n\
             -D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -X KUBE-SERVICES\n-X KUBE-SVC-ABCDEFGHIJKLMNOP\nCOMMIT\n"
        );
        assert_eq!(found[0].lines().len(), 3);
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(chains("iptables", ""), []);
        assert_eq!(chains("iptables", "# text\nCOMMIT\n"), []);
    }
}
