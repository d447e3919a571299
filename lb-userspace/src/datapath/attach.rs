// SPDX-License-Identifier: MIT OR Apache-2.0
//! Putting our program on a hook, in place of an older one of ours without a gap, and taking it
//! off.
//!
//! What is attached is written down as a pin, so that the next agent finds it: a tcx link pins
//! itself; a clsact filter leaves a symbolic link, whose target names priority and handle.

mod error;
mod filter;

pub use error::AttachError;

use super::{
    load::{LoadError, classifier},
    pin::{Folder, Hook, Place},
};
use aya::{
    Ebpf,
    programs::{
        LinkOrder, TcAttach,
        links::{FdLink, LinkError, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcHandle},
    },
};
use error::{ABSENT, EXISTS, INVALID, NO_DEVICE, attach_error, tc_errno};
pub(super) use error::{GONE, pin_error, program_errno};
use filter::{Filter, attach_type, handle_of, priority};
use std::{collections::BTreeSet, fs, io, os::unix::fs::symlink, path::Path};

/// How programs get onto a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A list of programs per hook, from Linux 6.6.
    Tcx,
    /// A filter of the interface's clsact qdisc.
    Clsact,
}

/// The loaded programs, and how they get onto hooks.
#[derive(Debug)]
pub struct Attacher {
    pub(super) ebpf: Ebpf,
    backend: Backend,
    handle: u32,
    /// Interfaces with a qdisc that we have made and no longer need.
    idle_qdiscs: BTreeSet<u32>,
}

/// What a pin says is attached.
#[derive(Debug)]
pub(super) enum Pinned {
    Tcx(PinnedLink),
    Clsact(Filter),
}

impl Attacher {
    /// Over loaded programs. Filters of different pin folders have different handles, so that two
    /// of them on one hook do not mix.
    pub fn new(ebpf: Ebpf, backend: Backend, pin_dir: &Path) -> Self {
        Self {
            ebpf,
            backend,
            handle: handle_of(pin_dir),
            idle_qdiscs: BTreeSet::new(),
        }
    }

    /// By which means new programs are attached.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Interfaces whose clsact qdisc we have made and no longer need, once.
    pub(super) fn take_idle_qdiscs(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.idle_qdiscs)
    }

    /// The number of the program for a hook, in the kernel.
    pub fn program_id(&mut self, hook: Hook) -> Result<u32, AttachError> {
        let program = classifier(&mut self.ebpf, hook.program())?;
        let info = program.info().map_err(|cause| LoadError::Program {
            name: hook.program(),
            cause: Box::new(cause),
        })?;
        Ok(info.id())
    }

    /// Makes our program the one that is attached at a place and pinned in the folder.
    ///
    /// An older one of ours is replaced in place. `beside` is a folder whose attachment at the
    /// same place must go on for a while.
    pub(super) fn attach(
        &mut self,
        folder: &Folder,
        place: Place,
        beside: Option<&Folder>,
    ) -> Result<(), AttachError> {
        let pin = folder.link(place);
        let pinned = read(&pin)?;
        match (self.backend, pinned) {
            (Backend::Tcx, Some(Pinned::Tcx(link))) => {
                if self.update(link, place)? {
                    return Ok(());
                }
                unpin(&pin)?;
                self.attach_tcx(&pin, place)
            }
            (Backend::Clsact, Some(Pinned::Clsact(filter))) => {
                if self.replace(filter, place)? {
                    return Ok(());
                }
                unpin(&pin)?;
                self.attach_clsact(&pin, place, filter_in(beside, place)?)
            }
            // --attach has changed: both are there for a moment, which no packet can tell.
            (Backend::Tcx, Some(Pinned::Clsact(filter))) => {
                let new = folder.links().join("new");
                unpin(&new)?;
                self.attach_tcx(&new, place)?;
                fs::rename(&new, &pin).map_err(pin_error("replacing", &pin))?;
                if filter.made_qdisc {
                    self.idle_qdiscs.insert(place.ifindex);
                }
                detach_filter(filter, place)
            }
            (Backend::Clsact, Some(Pinned::Tcx(link))) => {
                unpin(&pin)?;
                self.attach_clsact(&pin, place, None)?;
                drop(link);
                Ok(())
            }
            (Backend::Tcx, None) => self.attach_tcx(&pin, place),
            (Backend::Clsact, None) => self.attach_clsact(&pin, place, filter_in(beside, place)?),
        }
    }

    fn attach_tcx(&mut self, pin: &Path, place: Place) -> Result<(), AttachError> {
        let program = classifier(&mut self.ebpf, place.hook.program())?;
        let failed = attach_error(place, Backend::Tcx);
        let attach = TcAttach::Tcx {
            attach_type: attach_type(place.hook),
            // Foreign programs see what pods sent, on the way in and on the way out.
            order: match place.hook {
                Hook::Ingress => LinkOrder::last(),
                Hook::Egress => LinkOrder::first(),
            },
        };
        let id = program.attach(place.ifindex, attach).map_err(&failed)?;
        let link = program.take_link(id).map_err(&failed)?;
        let link = FdLink::try_from(link).map_err(|error| failed(error.into()))?;
        link.pin(pin)
            .map_err(|error| pin_error("making", pin)(io::Error::other(error)))?;
        Ok(())
    }

    /// Replaces the program of a link; `false` = the link's interface has gone.
    fn update(&mut self, link: PinnedLink, place: Place) -> Result<bool, AttachError> {
        let failed = attach_error(place, Backend::Tcx);
        let link = SchedClassifierLink::try_from(FdLink::from(link));
        let link = link.map_err(|error| failed(error.into()))?;
        let program = classifier(&mut self.ebpf, place.hook.program())?;
        match program.attach_to_link(link) {
            Ok(id) => {
                // Closes our descriptor; the pin keeps the link.
                drop(program.take_link(id).map_err(&failed)?);
                Ok(true)
            }
            Err(error) if program_errno(&error) == Some(GONE) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn attach_clsact(
        &mut self,
        pin: &Path,
        place: Place,
        taken: Option<Filter>,
    ) -> Result<(), AttachError> {
        let made_qdisc = match tc::qdisc_add_clsact(place.ifindex) {
            Ok(()) => true,
            Err(error) if tc_errno(&error) == Some(EXISTS) => {
                taken.is_some_and(|filter| filter.made_qdisc)
            }
            Err(cause) => return Err(AttachError::Qdisc { place, cause }),
        };
        let handle = match taken {
            Some(filter) if filter.handle == self.handle => self.handle ^ 1,
            _ => self.handle,
        };
        let filter = Filter {
            priority: priority(place.hook),
            handle,
            made_qdisc,
        };
        // Written down first: a crash in between leaves a note without a filter, which is harmless.
        symlink(filter.to_text(), pin).map_err(pin_error("making", pin))?;
        let program = classifier(&mut self.ebpf, place.hook.program())?;
        let attach = TcAttach::Netlink {
            parent: attach_type(place.hook).into(),
            options: NlOptions {
                priority: filter.priority,
                handle: TcHandle::from(filter.handle),
                classid: None,
            },
        };
        let failed = attach_error(place, Backend::Clsact);
        match program.attach(place.ifindex, attach) {
            Ok(id) => forget(program.take_link(id).map_err(failed)?),
            Err(error) if program_errno(&error) == Some(EXISTS) => {
                // Ours, of an agent that died before it could write it down.
                self.replace(filter, place)?;
            }
            Err(error) => {
                unpin(pin)?;
                return Err(failed(error));
            }
        }
        Ok(())
    }

    /// Replaces the program of a filter; `false` = the filter is not there.
    fn replace(&mut self, filter: Filter, place: Place) -> Result<bool, AttachError> {
        let failed = attach_error(place, Backend::Clsact);
        let link = filter.link(place).map_err(|error| failed(error.into()))?;
        let program = classifier(&mut self.ebpf, place.hook.program())?;
        match program.attach_to_link(link) {
            Ok(id) => {
                forget(program.take_link(id).map_err(failed)?);
                Ok(true)
            }
            Err(error) if matches!(program_errno(&error), Some(ABSENT | INVALID)) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Hands what is attached at a place from one folder to another: it then is pinned in both.
pub(super) fn share(from: &Folder, to: &Folder, place: Place) -> Result<(), AttachError> {
    let pin = to.link(place);
    if fs::symlink_metadata(&pin).is_ok() {
        return Ok(());
    }
    match read(&from.link(place))? {
        Some(Pinned::Tcx(link)) => {
            let shared = FdLink::from(link).pin(&pin);
            shared.map_err(|error| pin_error("making", &pin)(io::Error::other(error)))?;
        }
        Some(Pinned::Clsact(filter)) => {
            symlink(filter.to_text(), &pin).map_err(pin_error("making", &pin))?;
        }
        None => {}
    }
    Ok(())
}

/// Takes off what is pinned at a place. Says whether the interface's qdisc was made by us.
pub(super) fn detach(folder: &Folder, place: Place) -> Result<bool, AttachError> {
    let pin = folder.link(place);
    let pinned = read(&pin)?;
    let made_qdisc = match pinned {
        Some(Pinned::Clsact(filter)) => {
            detach_filter(filter, place)?;
            filter.made_qdisc
        }
        Some(Pinned::Tcx(_)) | None => false,
    };
    unpin(&pin)?;
    Ok(made_qdisc)
}

/// The filter that a folder has at a place.
fn filter_in(folder: Option<&Folder>, place: Place) -> Result<Option<Filter>, AttachError> {
    match folder.map(|folder| read(&folder.link(place))).transpose()? {
        Some(Some(Pinned::Clsact(filter))) => Ok(Some(filter)),
        _ => Ok(None),
    }
}

/// What a pin says is attached; `None` = no pin.
pub(super) fn read(pin: &Path) -> Result<Option<Pinned>, AttachError> {
    match fs::read_link(pin) {
        Ok(text) => {
            let filter = Filter::from_text(&text);
            let filter = filter.ok_or_else(|| {
                let error = io::Error::new(io::ErrorKind::InvalidData, "not a note of ours");
                pin_error("reading", pin)(error)
            })?;
            return Ok(Some(Pinned::Clsact(filter)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Not a symbolic link, so a link of the kernel's.
        Err(_) => {}
    }
    match PinnedLink::from_pin(pin) {
        Ok(link) => Ok(Some(Pinned::Tcx(link))),
        Err(LinkError::SyscallError(error)) => Err(pin_error("opening", pin)(error.io_error)),
        Err(error) => Err(pin_error("opening", pin)(io::Error::other(error))),
    }
}

fn detach_filter(filter: Filter, place: Place) -> Result<(), AttachError> {
    use aya::programs::Link as _;
    let failed = attach_error(place, Backend::Clsact);
    let link = filter.link(place).map_err(|error| failed(error.into()))?;
    match link.detach() {
        // The filter, its qdisc or the interface has gone already.
        Err(error) if !matches!(program_errno(&error), Some(ABSENT | INVALID | NO_DEVICE)) => {
            Err(failed(error))
        }
        _ => Ok(()),
    }
}

/// A filter outlives its handle in this process.
fn forget(link: SchedClassifierLink) {
    std::mem::forget(link);
}

pub(super) fn unpin(pin: &Path) -> Result<(), AttachError> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(pin_error("removing", pin)(error))
        }
        _ => Ok(()),
    }
}
