// SPDX-License-Identifier: MIT OR Apache-2.0
//! `BACKENDS`: one address and port that serves, by id.

use super::seal::Sealed;
use crate::family::WideAddress;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Whether a backend may be used, as a byte in [`Backend::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BackendState {
    /// The id is free.
    Free = 0,
    /// Takes new flows and keeps old ones.
    Active = 1,
    /// Serves, but takes no new flows (terminating, or others are nearer): old flows of every
    /// protocol stay.
    Draining = 2,
    /// Known, but not serving (not ready): established TCP flows stay, UDP chooses again.
    Quiet = 3,
}

impl BackendState {
    /// The byte that stands for it in a map.
    #[inline(always)]
    #[expect(
        clippy::as_conversions,
        reason = "the discriminant; `From` is not const"
    )]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The state that a byte in a map stands for; unknown bytes count as free.
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Active,
            2 => Self::Draining,
            3 => Self::Quiet,
            _ => Self::Free,
        }
    }
}

/// A backend of one Service's port: element of an array; its index is the backend's id; id 0 is
/// never used. 56 bytes.
///
/// A pod behind two Services is two backends, so a flow or an affinity notices when its backend
/// leaves the Service that it was chosen for, though the pod serves another one on.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Backend {
    /// Unique for each write of a backend on this node.
    pub version: u64,
    /// Unique for each birth of an id: a flow remembers (id, epoch), so it notices a backend that
    /// is gone or reborn.
    pub epoch: u64,
    /// The address, network order, IPv4 in the first four bytes.
    pub address: WideAddress,
    /// The port, network order.
    pub port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// A [`BackendState`].
    pub state: u8,
    /// The index of this element, to tell whose value it is.
    pub id: u32,
    /// The Service's number, as in `Service::service_id`.
    pub service_id: u32,
    /// 4 or 6: which family `address` is of.
    pub family: u8,
    /// Which of the port's tables it belongs to: 0 = all endpoints, 1 = those on this node.
    pub set: u8,
    /// Always zero.
    pub pad: u16,
    /// Equal to `version` in a whole value.
    pub version_end: u64,
}

impl Sealed for Backend {
    #[inline(always)]
    fn versions(&self) -> (u64, u64) {
        (self.version, self.version_end)
    }

    #[inline(always)]
    fn identity(&self) -> u64 {
        u64::from(self.id)
    }
}

const _: () = assert!(size_of::<Backend>() == 56);
