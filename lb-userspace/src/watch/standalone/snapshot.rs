// SPDX-License-Identifier: MIT OR Apache-2.0
//! Folders of manifests as they are at this moment, for commands that follow nothing.

use super::{
    addresses::Ledger,
    catalog::Catalog,
    files::{Content, Files},
};
use crate::model::{Change, Name};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
};

/// A Pod, as far as somebody cares who wants to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Namespace and name.
    pub name: Name,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is Ready, and not about to end.
    pub ready: bool,
}

/// What folders state now.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All Pods, in the order of their names.
    pub pods: Vec<PodFacts>,
    /// Everything else, as a complete list. Cluster-IPs may differ from those that are given.
    pub changes: Vec<Change>,
}

/// Reads folders. What cannot be read is left out.
pub fn read(folders: Vec<PathBuf>) -> Snapshot {
    let mut catalog = Catalog::new(Vec::new(), Ledger::default(), None);
    let (news, _problems) = Files::new(folders).scan(&BTreeSet::new());
    for news in news {
        if let Content::Text(text) = news.content {
            catalog.put(&news.file, &text);
        }
    }
    let changes = catalog.round(0).changes;
    Snapshot {
        pods: catalog.pods(),
        changes,
    }
}
