// SPDX-License-Identifier: MIT OR Apache-2.0
//! XDP programs that are no part of `weiche`: what XDP costs by itself, and an end for packets.

use std::ffi::CString;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
    programs::{Xdp, XdpMode},
};

use crate::netns::Namespace;

static EARLY: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/early-bpf"));

/// What a program does with every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Hands it on.
    Pass,
    /// Sends it back to the station that it came from.
    Turn,
    /// Counts it and drops it, if it is of IP.
    Take,
}

impl Does {
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Turn => "turn",
            Self::Take => "take",
        }
    }
}

/// A program; it leaves the link that it is at with the value.
pub struct Early {
    ebpf: Ebpf,
    taken: PerCpuArray<MapData, u64>,
    does: Does,
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Early").finish_non_exhaustive()
    }
}

impl Early {
    /// Loads one.
    pub fn load(does: Does) -> Result<Self> {
        let mut ebpf = Ebpf::load(EARLY).context("loading the object; this needs root")?;
        let taken = ebpf.take_map("TAKEN").context("no map TAKEN")?.try_into()?;
        let mut early = Self { ebpf, taken, does };
        early.program()?.load()?;
        Ok(early)
    }

    /// Loads one and puts it at a link of a namespace, in the driver.
    pub fn open(does: Does, namespace: &Namespace, link: &str) -> Result<Self> {
        let mut early = Self::load(does)?;
        let (program, name) = (early.program()?, CString::new(link)?);
        namespace.run(|| program.attach(name.as_c_str(), XdpMode::Driver))??;
        Ok(early)
    }

    /// The program itself.
    pub fn program(&mut self) -> Result<&mut Xdp> {
        let program = self.ebpf.program_mut(self.does.name());
        Ok(program.context("no such program")?.try_into()?)
    }

    /// How many packets it has taken.
    pub fn taken(&self) -> Result<u64> {
        Ok(self.taken.get(&0, 0)?.iter().sum())
    }
}
