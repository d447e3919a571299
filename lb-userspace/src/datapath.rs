// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs and maps in the kernel: loading, pinning, attaching, and moving to other sizes, so that
//! an agent's restart, upgrade or death stops no packet. Knows nothing of Services.

pub mod attach;
pub mod chain;
pub mod cleanup;
pub mod early;
pub mod edges;
pub mod kernel;
pub mod lock;
pub mod pin;

pub mod further;

mod object;
mod load;
mod maps;
mod heap;
mod verified;
mod sweep;
mod log;
mod resize;
mod verifier;

pub use load::LoadError;
pub use maps::Sizes;
pub use object::OBJECT;
pub use resize::{Misfit, MoveError};
pub use sweep::SweepError;

use crate::causes::with_causes;
use attach::{AttachError, Attacher, Backend};
use early::XdpWish;
use edges::{CHECK, Edges, EdgesError, Globs};
use kernel::{Release, TCX_SINCE};
use pin::{PinError, Pins};
use resize::{OldFlows, Start};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What `--attach` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// tcx where the kernel has it (Linux 6.6), clsact otherwise.
    #[default]
    Auto,
    /// tcx, or refuse.
    Tcx,
    /// clsact filters.
    Clsact,
}

/// The datapath cannot be set up; what served before goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The node cannot carry it.
    #[error(transparent)]
    Unfit(#[from] kernel::Unfit),
    /// The kernel is too old for what was asked for.
    #[error(
        "--attach tcx needs Linux {TCX_SINCE} or newer, this is {0}: use --attach auto or clsact"
    )]
    NoTcx(Release),
    /// Somebody else is at it.
    #[error(transparent)]
    Locked(#[from] lock::LockError),
    /// A folder of pins cannot be used.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Another version of Weiche was here.
    #[error(
        "{pin_dir} holds maps of layout {found}, which this version (layout {ours}) cannot read; \
         nothing was changed. Start the version that made them, or `weiche cleanup` them, which \
         ends their flows",
        ours = lb_common::wire::LAYOUT
    )]
    Layout {
        /// `--pin-dir`.
        pin_dir: PathBuf,
        /// The layout found.
        found: u32,
    },
    /// The programs cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Flows would not end.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// Moving to other sizes failed.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// A hook could not be switched.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Everything that setting up depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--pin-dir`.
    pub pin_dir: PathBuf,
    /// `--state-dir`, for the verifier's log.
    pub state_dir: PathBuf,
    /// `--attach`.
    pub attach: AttachMode,
    /// Sizes of the maps.
    pub sizes: Sizes,
    /// `--xdp`.
    pub xdp: XdpWish,
}

/// Loaded programs over pinned maps, with the hooks of the last run switched to them.
#[derive(Debug)]
pub struct Datapath {
    attacher: Attacher,
    pins: Pins,
    tcx: bool,
    /// Whether the maps were made now, and hold nothing of an earlier run.
    is_new: bool,
    /// Keeps others from the same pins while we live.
    lock: lock::Lock,
}

impl Datapath {
    /// Checks the node, loads, and takes over from the last run.
    pub fn open(options: &Options) -> Result<Self, DatapathError> {
        let release = kernel::check()?;
        let backend = backend(options.attach, release)?;
        let pins = Pins::new(&options.pin_dir);
        pins.prepare()?;
        let lock = lock::take(pins.root())?;
        if let Some(found) = pins.other_layouts().first().copied() {
            return Err(DatapathError::Layout {
                pin_dir: options.pin_dir.clone(),
                found,
            });
        }
        let (attacher, is_new) = take_over(options, &pins, backend)?;
        heap::give_back();
        let tcx = release >= TCX_SINCE;
        Ok(Self {
            attacher,
            pins,
            tcx,
            is_new,
            lock,
        })
    }

    /// Whether the maps were made now, and hold nothing of an earlier run.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The folder of the pinned maps.
    pub fn maps(&self) -> PathBuf {
        self.pins.current().maps()
    }

    /// Passes what programs report on to the agent's log. Needs a running tokio.
    pub fn follow_log(&mut self) {
        log::follow(&mut self.attacher.ebpf);
    }

    /// Goes on with the node's interfaces.
    ///
    /// `look` says how often others' programs on them are looked for.
    pub fn edges(
        self,
        globs: Globs,
        xdp: XdpWish,
        look: Option<Duration>,
    ) -> Result<Edges, EdgesError> {
        Edges::new(self, globs, xdp, look.unwrap_or(CHECK))
    }
}

fn backend(mode: AttachMode, release: Release) -> Result<Backend, DatapathError> {
    match mode {
        AttachMode::Auto if release >= TCX_SINCE => Ok(Backend::Tcx),
        AttachMode::Tcx if release < TCX_SINCE => Err(DatapathError::NoTcx(release)),
        AttachMode::Tcx => Ok(Backend::Tcx),
        AttachMode::Auto | AttachMode::Clsact => Ok(Backend::Clsact),
    }
}

/// Loads against what is pinned, moving it to the wanted sizes first; whether nothing was.
fn take_over(
    options: &Options,
    pins: &Pins,
    backend: Backend,
) -> Result<(Attacher, bool), DatapathError> {
    let attacher = |ebpf| Attacher::new(ebpf, backend, &options.pin_dir);
    let (object, state_dir) = (object::object(options.xdp), options.state_dir.as_path());
    tidy_up(pins)?;
    let (current, next) = (pins.current(), pins.next());
    let (found, building) = (readable(&current), Sizes::read(&next).ok());
    match resize::decide(found, building, next.links().is_dir(), options.sizes) {
        Start::Finish(sizes) => {
            tracing::info!(
                ?sizes,
                "finishing the move to other sizes that the last run began"
            );
            let mut old = attacher(load::load(&object, &next, &sizes, state_dir)?);
            sweep::start(&mut old.ebpf)?;
            resize::switch(&mut old, pins, OldFlows::Copy)?;
            return take_over(options, pins, backend);
        }
        Start::Reuse => {
            next.remove()?;
            let mut attacher = attacher(load::load(&object, &current, &options.sizes, state_dir)?);
            sweep::start(&mut attacher.ebpf)?;
            load::pin_programs(&object, &mut attacher.ebpf, &current)?;
            switch_in_place(&mut attacher, pins)?;
            return Ok((attacher, false));
        }
        Start::Move => resize::check(&current, &options.sizes)?,
        Start::Fresh => {}
    }
    next.remove()?;
    next.create()?;
    if found.is_some() {
        // Packets write into them all the time, and they are right for the flows of both.
        for map in maps::SHARED {
            current.share(map, &next)?;
        }
    }
    let mut attacher = attacher(load::load(&object, &next, &options.sizes, state_dir)?);
    sweep::start(&mut attacher.ebpf)?;
    load::pin_programs(&object, &mut attacher.ebpf, &next)?;
    let old_flows = if found.is_some() {
        resize::fill(&current, &next)?;
        OldFlows::Copy
    } else {
        next.create_links()?;
        OldFlows::Drop
    };
    if current.exists() {
        resize::switch(&mut attacher, pins, old_flows)?;
    } else {
        next.rename(&current)?;
    }
    Ok((attacher, found.is_none()))
}

/// Finishes what a crash between two renames left.
fn tidy_up(pins: &Pins) -> Result<(), PinError> {
    if pins.old().exists() {
        if !pins.current().exists() {
            pins.next().rename(&pins.current())?;
        }
        pins.old().remove()?;
    }
    Ok(())
}

/// The sizes of maps that can be kept: all are there, the counter above all.
fn readable(folder: &pin::Folder) -> Option<Sizes> {
    if !folder.exists() {
        return None;
    }
    let counter = crate::maps::kernel::KernelStore::open(&folder.maps())
        .map_err(|error| with_causes(&error))
        .and_then(|store| {
            let counter = crate::maps::Store::counter(&store);
            counter.map_err(|error| with_causes(&error))
        });
    match (Sizes::read(folder), counter) {
        (Ok(sizes), Ok(_)) => Some(sizes),
        (Err(error), _) => refuse_pins(folder.path(), &with_causes(&error)),
        (_, Err(error)) => refuse_pins(folder.path(), &error),
    }
}

/// Epochs must never repeat, so without the counter nothing of what is pinned can be believed.
fn refuse_pins(path: &Path, error: &str) -> Option<Sizes> {
    tracing::warn!(
        pins = %path.display(), error,
        "the pinned maps are not whole or their counter cannot be read; starting anew: open flows \
         end, and Services are unreachable until they are listed again"
    );
    None
}

/// Every hook of the last run gets the new program in place of the old one.
fn switch_in_place(attacher: &mut Attacher, pins: &Pins) -> Result<(), DatapathError> {
    let current = pins.current();
    current.create_links()?;
    for place in current.places() {
        match attacher.attach(&current, place, None) {
            // Whoever follows the links removes it.
            Err(error) if error.interface_gone() => {}
            other => other?,
        }
    }
    for ifindex in current.xdp_links() {
        early::renew(attacher, &current, ifindex)?;
    }
    Ok(())
}
