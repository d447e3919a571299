// SPDX-License-Identifier: MIT OR Apache-2.0
//! Folders of manifests as they are at this moment.

use super::{
    addresses::Ledger,
    catalog::Catalog,
    files::{Content, Files},
};
use crate::watch::snapshot::Snapshot;
use std::{collections::BTreeSet, path::PathBuf};

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
