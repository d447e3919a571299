// SPDX-License-Identifier: MIT OR Apache-2.0
//! The product's maps in this machine's kernel, without its programs: no packet ever sees them.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::{EbpfLoader, maps::MapData};
use lb_common::wire::CHUNK_SLOTS;
use lb_userspace::{datapath::OBJECT, plan::maglev};

use crate::cluster::Cluster;

/// Maps that a [`lb_userspace::maps::kernel::KernelStore`] opens.
const MAPS: [&str; 14] = [
    "FRONTENDS_V4",
    "FRONTENDS_V6",
    "ADDRESSES_V4",
    "ADDRESSES_V6",
    "ADMITTED_V4",
    "ADMITTED_V6",
    "NODES_V4",
    "NODES_V6",
    "BACKENDS",
    "SLOTS",
    "COUNTER",
    "LABELS",
    "NODE",
    "RANGES",
];

/// What packets fill: beside it is what Services cost.
const OF_FLOWS: [&str; 11] = [
    "FLOWS_",
    "ENDS_",
    "REVERSE_",
    "HALF_",
    "AFFINITY_",
    "EXPIRY_",
    "FOREIGN_",
    "FRAGMENTS_",
    "TUNNELLED_",
    "PATHS_",
    "MASKS_",
];

/// A folder of pinned maps; the maps go with the value.
#[derive(Debug)]
pub(super) struct Maps {
    folder: PathBuf,
}

impl Maps {
    /// Empty maps with room for a cluster and for its changes.
    pub(super) fn new(bpffs: &Path, cluster: &Cluster) -> anyhow::Result<Self> {
        let folder = bpffs.join("maps");
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let maps = Self { folder };
        let backends = cluster.services * cluster.endpoints;
        // More for those that change: what goes stays for a while.
        let more = |count: u32| count + 32_768;
        let slots = maglev::slot_count(usize::try_from(cluster.endpoints)?);
        let chunks = cluster.services * slots / CHUNK_SLOTS;
        let mut loader = EbpfLoader::new();
        for name in MAPS {
            loader.map_pin_path(name, maps.folder.join(name));
            let size = match name {
                "BACKENDS" => more(backends),
                "SLOTS" => more(chunks),
                "NODE" | "COUNTER" | "RANGES" | "ADDRESSES_V4" | "ADDRESSES_V6" => continue,
                // One for the port, one for the address.
                "FRONTENDS_V4" | "FRONTENDS_V6" => more(2 * cluster.services),
                _ => more(cluster.services),
            };
            loader.map_max_entries(name, size.max(1_024));
        }
        loader.load(OBJECT).context("making the maps")?;
        Ok(maps)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Maps {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("removing {}: {error}", self.folder.display());
        }
    }
}

/// What the kernel says that each map of a folder takes, in bytes; and which of them are of flows.
pub(super) fn bytes(folder: &Path) -> anyhow::Result<Vec<(String, f64, bool)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let map = MapData::from_pin(entry.path())?;
        let info = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
        let info = fs::read_to_string(info)?;
        let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let memory = memory.context("the kernel does not say what a map takes")?;
        let is_of_flows = OF_FLOWS.iter().any(|prefix| name.starts_with(prefix));
        all.push((name, memory.trim().parse::<f64>()?, is_of_flows));
    }
    all.sort_by(|(_, one, _), (_, other, _)| other.total_cmp(one));
    Ok(all)
}
