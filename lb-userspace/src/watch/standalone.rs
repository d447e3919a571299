// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standalone mode: folders of manifests instead of a cluster.
//!
//! In the order of a change: files → [`parse`] → [`store`] → [`addresses`] and endpoints →
//! [`catalog`], whose rounds give the stream of changes.

pub mod addresses;
pub mod catalog;
mod endpoints;
pub mod families;
pub mod parse;
pub mod store;

use ipnet::IpNet;

use self::{
    addresses::Ledger,
    catalog::{Catalog, Round},
    store::FileId,
};

/// One manifest file's text.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    /// Index of its folder: later folders complete earlier ones.
    pub folder: usize,
    /// What problems call it.
    pub file: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// The complete list of what manifests mean: pure, for whoever has texts instead of folders.
///
/// Cluster-IPs are given from `cidrs` as at a first start.
pub fn list(manifests: &[Manifest<'_>], cidrs: &[IpNet]) -> Round {
    let mut catalog = Catalog::new(cidrs.to_vec(), Ledger::default());
    for manifest in manifests {
        let file = FileId {
            folder: manifest.folder,
            path: manifest.file.into(),
        };
        catalog.put(&file, manifest.text);
    }
    catalog.round(0)
}
