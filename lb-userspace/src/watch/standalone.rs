// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standalone mode: folders of manifests instead of a cluster.
//!
//! In the order of a change: when to look and what changed on disk, then [`parse`] → [`store`] →
//! [`addresses`] and endpoints → [`catalog`], whose rounds give the stream of changes.

mod quiet;
mod files;
mod run;

pub mod parse;
pub mod store;

pub mod catalog;
pub mod families;
pub mod addresses;
mod ledger_file;
mod endpoints;
pub mod snapshot;

pub use self::endpoints::OwnServer;
pub(super) use self::endpoints::{is_ready, pod_addresses};

use std::{fs, io, path::PathBuf};

use ipnet::IpNet;
use tokio::sync::{mpsc, watch};

use self::{
    addresses::Ledger,
    catalog::{Catalog, Round},
    files::Files,
    ledger_file::LedgerFile,
    quiet::Quiet,
    run::{Books, Folder, Loop},
    store::FileId,
};
use super::{Handle, status::Status};
use crate::model::Change;

/// How standalone mode is to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folders of manifests; a later one completes an earlier one.
    pub folders: Vec<PathBuf>,
    /// Where Cluster-IPs come from; the first one's family is that of Services without wishes.
    pub cidrs: Vec<IpNet>,
    /// Where `cluster-ips.json` is kept; made when it is missing.
    pub state_dir: PathBuf,
    /// A server of the agent's that a Service leads to.
    pub own_server: Option<OwnServer>,
}

/// Why standalone mode cannot start. What happens later is a problem in the status.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No folder was given.
    #[error("standalone mode needs at least one folder of manifests: give --manifests DIR")]
    NoFolders,
    /// A folder is not there, or cannot be listed.
    #[error("the folder of manifests {path} cannot be read; make it, or give another --manifests")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The kernel gives us no inotify instance.
    #[error(
        "folders cannot be watched; look at the limit fs.inotify.max_user_instances \
         (sysctl), which other programs of this user share"
    )]
    Watcher(#[source] io::Error),
}

/// Starts following the folders; the first changes are a complete list.
///
/// The stream ends when the handle is dropped, or the receiver of `changes` is. Must be called
/// inside a tokio runtime with I/O and time enabled.
pub fn spawn(settings: Settings, changes: mpsc::Sender<Change>) -> Result<Handle, StartError> {
    let Settings {
        folders,
        cidrs,
        state_dir,
        own_server,
    } = settings;
    if folders.is_empty() {
        return Err(StartError::NoFolders);
    }
    for path in &folders {
        fs::read_dir(path).map_err(|cause| StartError::Folder {
            path: path.clone(),
            cause,
        })?;
    }
    let quiet = Quiet::new().map_err(StartError::Watcher)?;
    let (ledger_file, ledger, problem) = LedgerFile::load(&state_dir);
    let names: Vec<String> = folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let (status, watched) = watch::channel(Status {
        source: format!("manifests in {}", names.join(", ")),
        ..Status::default()
    });
    let following = folders.iter().map(|path| Folder {
        path: path.clone(),
        watched: None,
    });
    let work = Loop {
        folders: following.collect(),
        quiet,
        books: Some(Books {
            files: Files::new(folders),
            catalog: Catalog::new(cidrs, ledger, own_server),
            ledger_file,
        }),
        at_start: problem.into_iter().collect(),
        changes,
        status,
    };
    Ok(Handle::new(watched, work.run()))
}

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

/// Refuses folders that [`spawn`] would.
pub fn check(folders: &[PathBuf]) -> Result<(), StartError> {
    for folder in folders {
        fs::read_dir(folder).map_err(|cause| StartError::Folder {
            path: folder.clone(),
            cause,
        })?;
    }
    Ok(())
}

/// The complete list of what manifests mean: pure, for whoever has texts instead of folders.
///
/// Cluster-IPs are given from `cidrs` as at a first start.
pub fn list(manifests: &[Manifest<'_>], cidrs: &[IpNet]) -> Round {
    let mut catalog = Catalog::new(cidrs.to_vec(), Ledger::default(), None);
    for manifest in manifests {
        let file = FileId {
            folder: manifest.folder,
            path: manifest.file.into(),
        };
        catalog.put(&file, manifest.text);
    }
    catalog.round(0)
}
