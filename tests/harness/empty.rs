// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that do nothing, where those of `weiche` are.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{SchedClassifier, TcAttachType},
};

use crate::{hook, netns::Namespace};

/// The program, which is no part of `weiche`.
static EMPTY: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/empty-bpf"));

/// A program that hands on every packet as it is; it leaves the hooks that it is at with the value.
pub struct Empty {
    ebpf: Ebpf,
}

impl std::fmt::Debug for Empty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Empty").finish_non_exhaustive()
    }
}

impl Empty {
    /// Loads one.
    pub fn load() -> Result<Self> {
        let mut empty = Self {
            ebpf: Ebpf::load(EMPTY).context("loading the object; this needs root")?,
        };
        empty.program()?.load()?;
        Ok(empty)
    }

    /// The program itself.
    pub fn program(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.ebpf.program_mut("empty").context("no such program")?;
        Ok(program.try_into()?)
    }

    /// Puts it at both hooks of a link of a namespace.
    pub fn attach(&mut self, namespace: &Namespace, link: &str) -> Result<()> {
        for at in [TcAttachType::Ingress, TcAttachType::Egress] {
            let program = self.program()?;
            namespace.run(|| hook::attach(program, link, at))??;
        }
        Ok(())
    }
}
