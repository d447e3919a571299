// SPDX-License-Identifier: MIT OR Apache-2.0
//! XDP at uplinks, before the host's stack: an accelerator of what TC does there as well. So an
//! uplink without it lacks nothing but speed, and says why.

use super::{
    attach::{AttachError, Attacher, GONE, pin_error, program_errno, unpin},
    load::{self, LoadError, UPLINK},
    pin::Folder,
};
use aya::programs::{
    ProgramError, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    xdp::XdpLink,
};
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

/// What people call the hook.
pub const HOOK: &str = "xdp";

/// What `--xdp` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpWish {
    /// In the NIC's driver, where that can do it and nothing speaks against it.
    #[default]
    Auto,
    /// In the driver, also on a veth link: whoever sends there must make all checksums itself.
    Native,
    /// In the kernel's own code, which is no faster than TC and copies packets: to try things out.
    Generic,
    /// Not at all.
    Off,
}

/// How XDP runs at an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Early {
    /// In the NIC's driver.
    Native,
    /// In the kernel's own code.
    Generic,
}

impl Early {
    const fn mode(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

impl Attacher {
    /// The number of the program, in the kernel.
    pub(super) fn xdp_id(&mut self) -> Result<u32, AttachError> {
        let info = load::xdp(&mut self.ebpf)?.info();
        let info = info.map_err(|cause| LoadError::Program {
            name: UPLINK,
            cause: Box::new(cause),
        })?;
        Ok(info.id())
    }
}

/// Makes our program the one that runs at an uplink, and pins it.
pub(super) fn attach(
    attacher: &mut Attacher,
    folder: &Folder,
    ifindex: u32,
    how: Early,
) -> Result<(), AttachError> {
    let pin = folder.xdp_link(ifindex);
    unpin(&pin)?;
    let failed = failed(ifindex);
    let program = load::xdp(&mut attacher.ebpf)?;
    let id = program.attach(ifindex, how.mode()).map_err(&failed)?;
    let link = program.take_link(id).map_err(&failed)?;
    let link = FdLink::try_from(link).map_err(|error| failed(error.into()))?;
    link.pin(&pin)
        .map_err(|error| pin_error("making", &pin)(io::Error::other(error)))?;
    Ok(())
}

/// Gives an uplink where an older one of ours runs this program in its place; takes the pin away
/// where the uplink is gone.
pub(super) fn renew(
    attacher: &mut Attacher,
    folder: &Folder,
    ifindex: u32,
) -> Result<(), AttachError> {
    let pin = folder.xdp_link(ifindex);
    let Some(link) = open(&pin)? else {
        return Ok(());
    };
    let failed = failed(ifindex);
    let link = XdpLink::try_from(FdLink::from(link)).map_err(|error| failed(error.into()))?;
    let program = load::xdp(&mut attacher.ebpf)?;
    match program.attach_to_link(link) {
        Ok(id) => {
            // Closes our descriptor; the pin keeps the link.
            drop(program.take_link(id).map_err(&failed)?);
            Ok(())
        }
        Err(error) if program_errno(&error) == Some(GONE) => unpin(&pin),
        Err(error) => Err(failed(error)),
    }
}

/// Hands what runs at an uplink from one folder to another: it then is pinned in both.
pub(super) fn share(from: &Folder, to: &Folder, ifindex: u32) -> Result<(), AttachError> {
    let pin = to.xdp_link(ifindex);
    unpin(&pin)?;
    if let Some(link) = open(&from.xdp_link(ifindex))? {
        let shared = FdLink::from(link).pin(&pin);
        shared.map_err(|error| pin_error("making", &pin)(io::Error::other(error)))?;
    }
    Ok(())
}

/// Takes our program off an uplink.
pub(super) fn detach(folder: &Folder, ifindex: u32) -> Result<(), AttachError> {
    unpin(&folder.xdp_link(ifindex))
}

fn open(pin: &Path) -> Result<Option<PinnedLink>, AttachError> {
    match PinnedLink::from_pin(pin) {
        Ok(link) => Ok(Some(link)),
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(pin_error("opening", pin)(io::Error::other(error))),
    }
}

fn failed(ifindex: u32) -> impl Fn(ProgramError) -> AttachError {
    move |cause| AttachError::Early {
        ifindex,
        cause: Box::new(cause),
    }
}
