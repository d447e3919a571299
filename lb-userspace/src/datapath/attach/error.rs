// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ways in which attaching fails, and what the kernel's numbers mean here.

use super::{
    super::{load::LoadError, pin::Place},
    Backend,
};
use aya::programs::{ProgramError, tc::TcError};
use std::{io, path::Path};

/// A program could not be put on a hook, or taken off.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused to attach.
    #[error("attaching to {place} (interface and hook) by {backend:?}")]
    Attach {
        /// Where.
        place: Place,
        /// By which means.
        backend: Backend,
        /// What the kernel said.
        #[source]
        cause: Box<ProgramError>,
    },
    /// The kernel refused to attach before the stack.
    #[error("attaching to interface {ifindex} by XDP")]
    Early {
        /// The interface's index.
        ifindex: u32,
        /// What the kernel said.
        #[source]
        cause: Box<ProgramError>,
    },
    /// The clsact qdisc was refused.
    #[error("adding a clsact qdisc for {place} (interface and hook)")]
    Qdisc {
        /// Where.
        place: Place,
        /// What the kernel said.
        #[source]
        cause: TcError,
    },
    /// What is attached cannot be pinned, or its pin not changed.
    #[error("{action} pin {path}")]
    Pin {
        /// What was tried.
        action: &'static str,
        /// The pin.
        path: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
    /// The object lacks the program.
    #[error(transparent)]
    Program(#[from] LoadError),
}

impl AttachError {
    /// Whether the interface is gone, so that nobody needs to hear of it.
    pub fn interface_gone(&self) -> bool {
        let code = match self {
            Self::Attach { cause, .. } | Self::Early { cause, .. } => program_errno(cause),
            Self::Qdisc { cause, .. } => tc_errno(cause),
            Self::Pin { .. } | Self::Program(_) => None,
        };
        code == Some(rustix::io::Errno::NODEV.raw_os_error())
    }
}

pub(in super::super) const GONE: i32 = rustix::io::Errno::NOLINK.raw_os_error();
pub(super) const EXISTS: i32 = rustix::io::Errno::EXIST.raw_os_error();
pub(super) const ABSENT: i32 = rustix::io::Errno::NOENT.raw_os_error();
pub(super) const INVALID: i32 = rustix::io::Errno::INVAL.raw_os_error();
pub(super) const NO_DEVICE: i32 = rustix::io::Errno::NODEV.raw_os_error();

pub(in super::super) fn program_errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::TcError(error) => tc_errno(error),
        ProgramError::NetlinkError(error) => error.raw_os_error(),
        ProgramError::IOError(error) => error.raw_os_error(),
        _ => None,
    }
}

pub(super) fn tc_errno(error: &TcError) -> Option<i32> {
    match error {
        TcError::NetlinkError(error) => error.raw_os_error(),
        TcError::IoError(error) => error.raw_os_error(),
        _ => None,
    }
}

pub(super) fn attach_error(place: Place, backend: Backend) -> impl Fn(ProgramError) -> AttachError {
    move |cause| AttachError::Attach {
        place,
        backend,
        cause: Box::new(cause),
    }
}

pub(in super::super) fn pin_error(
    action: &'static str,
    pin: &Path,
) -> impl Fn(io::Error) -> AttachError {
    let path = pin.display().to_string();
    move |cause| AttachError::Pin {
        action,
        path: path.clone(),
        cause,
    }
}
