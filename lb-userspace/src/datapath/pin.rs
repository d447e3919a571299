// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where things are pinned: the folders under `--pin-dir`, and what is in them.
//!
//! ```text
//! <pin-dir>/v3/maps/FLOWS_V4       every map
//!             /progs/weiche_egress every program
//!             /links/7-ingress     what is attached: a tcx link, or a symbolic link whose target
//!                                  describes a clsact filter
//!                   7-xdp         a link of XDP
//! <pin-dir>/next                   being built; `links` in it says that the maps are complete
//! <pin-dir>/old                    replaced, about to be removed
//! ```
//!
//! A folder `vN` is always whole: it is built as `next` and renamed. Names have no dots, because
//! bpffs refuses them.

mod place;
mod remove;

pub use place::{Hook, NotAPlace, Place};

use lb_common::wire::LAYOUT;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// `BPF_FS_MAGIC` of `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// How names of links by XDP end.
const XDP: &str = "-xdp";

/// Where bpffs is by convention.
const BPFFS: &str = "/sys/fs/bpf";

/// A folder of pins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// A path cannot be made, read, renamed or removed.
    #[error("{action} {path} below --pin-dir")]
    Folder {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// Mounting was refused.
    #[error(
        "no BPF file system at {path} and mounting one was refused: run \
         `mount -t bpf bpf {path}` as root, or point --pin-dir below a mounted one"
    )]
    Mount {
        /// The mount point.
        path: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// Mounting would hide what is there.
    #[error(
        "{path} is an ordinary folder with something in it, which a BPF file system mounted there \
         would hide: point --pin-dir at an empty or a new folder, or below /sys/fs/bpf"
    )]
    InUse {
        /// The folder.
        path: String,
    },
    /// Pins are on a BPF file system, and this is none.
    #[error(
        "{path} is not on a BPF file system, so no pins of Weiche are there; nothing was touched: \
         give the --pin-dir that `weiche run` was given"
    )]
    NotPins {
        /// The folder.
        path: String,
    },
}

/// The folder that `--pin-dir` names.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Below this folder.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder, and mounts a BPF file system where none is: at `/sys/fs/bpf` for paths
    /// below it, else at the folder itself, which must be empty, so that nothing gets covered.
    pub fn prepare(&self) -> Result<(), PinError> {
        if self.root.starts_with(BPFFS) {
            if !is_bpffs(Path::new(BPFFS)) && !is_bpffs(&self.root) {
                mount_bpffs(Path::new(BPFFS))?;
            }
            make(&self.root)?;
            // `..` or a link may have led out of it.
            return self.check();
        }
        make(&self.root)?;
        if !is_bpffs(&self.root) {
            if !names(&self.root).is_empty() {
                return Err(PinError::InUse {
                    path: self.root.display().to_string(),
                });
            }
            mount_bpffs(&self.root)?;
        }
        Ok(())
    }

    /// Refuses what [`Pins::prepare`] would because of what is there, and makes nothing.
    pub fn check_free(&self) -> Result<(), PinError> {
        let is_ours = self.root.starts_with(BPFFS) || is_bpffs(&self.root);
        if is_ours || names(&self.root).is_empty() {
            return Ok(());
        }
        Err(PinError::InUse {
            path: self.root.display().to_string(),
        })
    }

    /// Refuses a folder that is not on a BPF file system.
    pub fn check(&self) -> Result<(), PinError> {
        if is_bpffs(&self.root) {
            return Ok(());
        }
        Err(PinError::NotPins {
            path: self.root.display().to_string(),
        })
    }

    /// What serves.
    pub fn current(&self) -> Folder {
        Folder::new(self.root.join(format!("v{LAYOUT}")))
    }

    /// What is being built.
    pub fn next(&self) -> Folder {
        Folder::new(self.root.join("next"))
    }

    /// What has been replaced.
    pub fn old(&self) -> Folder {
        Folder::new(self.root.join("old"))
    }

    /// Every folder of pins there is, of other layouts too. Other names are not ours.
    pub fn folders(&self) -> Vec<Folder> {
        let ours = |name: &&String| layout(name).is_some() || ["next", "old"].contains(&&***name);
        let folder = |name: &String| Folder::new(self.root.join(name));
        names(&self.root)
            .iter()
            .filter(ours)
            .map(folder)
            .filter(Folder::exists)
            .collect()
    }

    /// Removes the folder itself, if nothing is in it and nothing mounted on it.
    pub fn remove_root(&self) -> Result<(), PinError> {
        use io::ErrorKind::{DirectoryNotEmpty, ResourceBusy};
        match fs::remove_dir(&self.root) {
            Err(error) if ![ResourceBusy, DirectoryNotEmpty].contains(&error.kind()) => {
                Err(failed("removing", &self.root)(error))
            }
            _ => Ok(()),
        }
    }

    /// Layouts that other versions of Weiche have left here.
    pub fn other_layouts(&self) -> Vec<u32> {
        let layouts = names(&self.root)
            .into_iter()
            .filter_map(|name| layout(&name));
        layouts.filter(|layout| *layout != LAYOUT).collect()
    }
}

/// One set of maps, programs and links.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the maps are.
    pub fn maps(&self) -> PathBuf {
        self.path.join("maps")
    }

    /// Where the programs are.
    pub fn programs(&self) -> PathBuf {
        self.path.join("progs")
    }

    /// Where the links are.
    pub fn links(&self) -> PathBuf {
        self.path.join("links")
    }

    /// The pin of what is attached at a place.
    pub fn link(&self, place: Place) -> PathBuf {
        self.links().join(place.to_string())
    }

    /// All places where something is pinned as attached.
    pub fn places(&self) -> Vec<Place> {
        let mut places: Vec<_> = names(&self.links())
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        places.sort();
        places
    }

    /// The pin of what is attached by XDP at an uplink.
    pub fn xdp_link(&self, ifindex: u32) -> PathBuf {
        self.links().join(format!("{ifindex}{XDP}"))
    }

    /// All uplinks where something is pinned as attached by XDP.
    pub fn xdp_links(&self) -> Vec<u32> {
        let names = names(&self.links());
        let index = |name: &String| name.strip_suffix(XDP)?.parse().ok();
        names.iter().filter_map(index).collect()
    }

    /// Makes the folder with room for maps and programs, but none for links.
    pub fn create(&self) -> Result<(), PinError> {
        make(&self.maps())?;
        make(&self.programs())
    }

    /// Makes room for links: from now on the folder counts as filled.
    pub fn create_links(&self) -> Result<(), PinError> {
        make(&self.links())
    }

    /// Lets another folder without such a map have this one's.
    pub fn share(&self, map: &str, with: &Self) -> Result<(), PinError> {
        let (ours, theirs) = (self.maps().join(map), with.maps().join(map));
        fs::hard_link(&ours, &theirs).map_err(failed("sharing", &ours))
    }

    /// Gives the folder another name.
    pub fn rename(&self, to: &Self) -> Result<(), PinError> {
        fs::rename(&self.path, &to.path).map_err(failed("renaming", &self.path))
    }

    /// Removes the pins in it, and it. What was only pinned here ends.
    pub fn remove(&self) -> Result<(), PinError> {
        remove::folder(&self.path)
    }
}

fn is_bpffs(path: &Path) -> bool {
    rustix::fs::statfs(path)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == BPF_FS_MAGIC))
}

/// The layout that a folder called `vN` is of.
fn layout(name: &str) -> Option<u32> {
    name.strip_prefix('v')?.parse().ok()
}

fn mount_bpffs(at: &Path) -> Result<(), PinError> {
    use rustix::mount::{MountFlags, mount};
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mounted = mount("bpf", at, "bpf", flags, Some(c"mode=0700"));
    mounted.map_err(|cause| PinError::Mount {
        path: at.display().to_string(),
        cause: cause.into(),
    })?;
    tracing::info!(path = %at.display(), "mounted a BPF file system");
    Ok(())
}

fn make(path: &Path) -> Result<(), PinError> {
    fs::create_dir_all(path).map_err(failed("making", path))
}

fn names(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.collect()
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> PinError {
    let path = path.display().to_string();
    move |cause| PinError::Folder {
        action,
        path: path.clone(),
        cause,
    }
}
