// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kube-proxy leaves on a node when it ends: its rules go on translating. Finds them, and
//! removes them when that is asked for, through the programs of the system (`nft`, `iptables-save`
//! and `iptables-restore`), which know every form that rules have.
//!
//! Only what kube-proxy is known to make is touched. Other chains that begin with `KUBE-` are the
//! kubelet's, or a policy controller's, and stay.

mod iptables;
mod nft;
mod program;

pub use program::LeftoversError;

use std::{fmt, fs};

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    nft: Vec<nft::Table>,
    iptables: Vec<iptables::Chains>,
    /// What is seen and not removed, with what to do.
    pub hints: Vec<String>,
}

/// One thing that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item(String);

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Leftovers {
    /// Looks for them, in the network namespace of this process. Changes nothing.
    pub fn find() -> Result<Self, LeftoversError> {
        let mut hints = Vec::new();
        let nft = nft::find(&mut hints)?;
        let iptables = iptables::find(&mut hints)?;
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
        if links
            .lines()
            .any(|line| line.trim_start().starts_with("kube-ipvs0:"))
        {
            hints.push(
                "kube-proxy has run in mode ipvs: `ip link delete kube-ipvs0` and \
                 `ipvsadm --clear` remove its addresses and Services, and those of everybody else \
                 who uses ipvs here"
                    .to_owned(),
            );
        }
        Ok(Self {
            nft,
            iptables,
            hints,
        })
    }

    /// What would be removed, one line each.
    pub fn items(&self) -> Vec<Item> {
        let tables = self.nft.iter().map(ToString::to_string);
        let chains = self.iptables.iter().flat_map(iptables::Chains::lines);
        tables.chain(chains).map(Item).collect()
    }

    /// Removes them: each table in one step, or not at all.
    pub fn remove(&self) -> Result<(), LeftoversError> {
        nft::remove(&self.nft)?;
        self.iptables.iter().try_for_each(iptables::Chains::remove)
    }
}
