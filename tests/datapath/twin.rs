// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet path twice, on the host and in the kernel, from the same tables: each packet goes
//! through both, and every difference between the two is an error.

use anyhow::{Context as _, Result, ensure};
use lb_common::{
    frame::Frames,
    packet::Buffer,
    pipeline,
    verdict::{Reason, Verdict},
};
use std::{collections::BTreeMap, fmt::Debug, path::Path};
use tests::{
    kernel::{Hook, Kernel, Ran, Sizes},
    tables::Memory,
};

/// Bytes by which a packet may grow.
const ROOM: usize = 256;

/// By which interface packets of a test run come in, where nobody says otherwise
/// (`bpf_prog_test_run_skb`).
pub(crate) const LOOPBACK: u32 = 1;

/// What both made of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why it ended; nothing if the kernel's test run did not take the frame.
    pub(crate) reason: Option<Reason>,
    /// The frame as they left it.
    pub(crate) frame: Vec<u8>,
}

/// Host and kernel.
pub(crate) struct Twin {
    /// The host's tables. Whoever changes them calls [`Twin::copy`], or changes the kernel's too.
    pub(crate) memory: Memory,
    /// The kernel's.
    pub(crate) kernel: Kernel,
    /// How often each hook's program should have ended for each reason.
    counts: BTreeMap<(u32, Reason), u64>,
}

impl Twin {
    /// Loads the programs with maps of these sizes.
    pub(crate) fn load(object: &[u8], sizes: Sizes) -> Result<Self> {
        Self::of(Kernel::load(object, sizes)?)
    }

    /// The same, with the maps pinned in a folder.
    pub(crate) fn load_pinned(object: &[u8], sizes: Sizes, pins: &Path) -> Result<Self> {
        Self::of(Kernel::load_pinned(object, sizes, pins)?)
    }

    fn of(kernel: Kernel) -> Result<Self> {
        let mut twin = Self {
            memory: Memory::default(),
            kernel,
            counts: BTreeMap::new(),
        };
        twin.reset()?;
        Ok(twin)
    }

    /// Empties all tables of both.
    pub(crate) fn reset(&mut self) -> Result<()> {
        let sizes = self.kernel.sizes();
        self.memory = Memory {
            flow_capacity: usize::try_from(sizes.flows)?,
            half_open_capacity: usize::try_from(sizes.half_open)?,
            affinity_capacity: usize::try_from(sizes.affinity)?,
            foreign_capacity: usize::try_from(sizes.foreign)?,
            mask_capacity: usize::try_from(sizes.masks)?,
            ..Memory::default()
        };
        for hook in Hook::ALL {
            for reason in Reason::ALL {
                self.counts
                    .insert((hook.index(), *reason), self.kernel.count(hook, *reason)?);
            }
        }
        self.copy()
    }

    /// Makes the kernel's tables equal to the host's.
    pub(crate) fn copy(&mut self) -> Result<()> {
        self.kernel.copy_from(&self.memory)
    }

    /// Sets both clocks.
    pub(crate) fn set_clock(&mut self, now_ns: u64) -> Result<()> {
        self.memory.now_ns = now_ns;
        self.kernel.set_clock(now_ns)
    }

    /// Half-open flows of both families, and all others.
    pub(crate) fn flows(&self) -> [usize; 2] {
        let Memory { v4, v6, .. } = &self.memory;
        [
            v4.flows.half_open.flows.len() + v6.flows.half_open.flows.len(),
            v4.flows.established.flows.len() + v6.flows.established.flows.len(),
        ]
    }

    /// Sends a frame through a hook of both and compares reason, verdict, bytes and tables.
    pub(crate) fn run(&mut self, hook: Hook, frame: &[u8]) -> Result<Outcome> {
        let ran = self.kernel.programs.run(hook, frame)?;
        let mut room = frame.to_vec();
        room.resize(frame.len() + ROOM, 0);
        let mut packet = Buffer::new(&mut room, frame.len()).arriving_by(LOOPBACK);
        // The kernel's frames still hold the packet before; the host's are empty, so that whoever
        // reads what was not written makes a difference.
        let mut frames = Frames::new();
        let reason = match hook {
            Hook::Ingress => pipeline::ingress_and_more(&mut packet, &mut self.memory, &mut frames),
            Hook::Egress => pipeline::egress(&mut packet, &mut self.memory, &mut frames),
            Hook::Uplink => pipeline::uplink(&mut packet, &mut self.memory, &mut frames),
        };
        let bytes = packet.bytes().to_vec();
        let taken = ran.is_some();
        if let Some(ran) = ran {
            self.compare_end(hook, reason, &bytes, &ran)?;
        }
        self.compare_flows()?;
        Ok(Outcome {
            reason: taken.then_some(reason),
            frame: bytes,
        })
    }

    /// Sweeps both, and compares tables and queues.
    pub(crate) fn sweep(&mut self) -> Result<()> {
        self.compare_queues().context("before the sweep")?;
        self.kernel.programs.sweep()?;
        self.memory.sweep();
        self.compare_flows()?;
        self.compare_queues()
    }

    /// Whether the kernel's counters are what all packets so far make them.
    pub(crate) fn compare_counters(&self) -> Result<()> {
        for hook in Hook::ALL {
            let ahead = self.counters_ahead(hook);
            ensure!(
                ahead.is_empty(),
                "the kernel has counted more often: {hook:?} {ahead:?}"
            );
        }
        Ok(())
    }

    /// Whether what packets write is the same in both.
    pub(crate) fn compare_flows(&self) -> Result<()> {
        let Self { memory, kernel, .. } = self;
        same("IPv4 flows", &memory.v4.flows, &kernel.v4.flows()?)?;
        same("IPv6 flows", &memory.v6.flows, &kernel.v6.flows()?)?;
        same("accounts", &memory.account, &kernel.account()?)?;
        let (v4, v6) = (kernel.v4.affinities()?, kernel.v6.affinities()?);
        same("IPv4 affinities", &memory.v4.affinities, &v4)?;
        same("IPv6 affinities", &memory.v6.affinities, &v6)?;
        let (v4, v6) = (kernel.v4.foreigns()?, kernel.v6.foreigns()?);
        same("IPv4 foreign flows", &memory.v4.foreigns, &v4)?;
        same("IPv6 foreign flows", &memory.v6.foreigns, &v6)?;
        let (v4, v6) = (kernel.v4.masks()?, kernel.v6.masks()?);
        same("IPv4 masquerades", &memory.v4.masks, &v4)?;
        same("IPv6 masquerades", &memory.v6.masks, &v6)?;
        let (v4, v6) = (kernel.v4.fragments()?, kernel.v6.fragments()?);
        same("IPv4 fragments", &memory.v4.fragments, &v4)?;
        same("IPv6 fragments", &memory.v6.fragments, &v6)
    }

    fn compare_queues(&mut self) -> Result<()> {
        let Self { memory, kernel, .. } = self;
        same("IPv4 queues", &memory.v4.expiries, &kernel.v4.expiries()?)?;
        same("IPv6 queues", &memory.v6.expiries, &kernel.v6.expiries()?)
    }

    fn compare_end(&mut self, hook: Hook, reason: Reason, bytes: &[u8], ran: &Ran) -> Result<()> {
        let verdict = match (reason.verdict(), hook) {
            // XDP_PASS, XDP_DROP and XDP_TX; a test's packets are never handed over.
            (Verdict::Pass, Hook::Uplink) => 2,
            (Verdict::Drop, Hook::Uplink) => 1,
            (Verdict::Answer, Hook::Uplink) => 3,
            // TCX_NEXT, TC_ACT_UNSPEC.
            (Verdict::Pass, _) => -1,
            // TCX_DROP, TC_ACT_SHOT.
            (Verdict::Drop, _) => 2,
            // TCX_REDIRECT, TC_ACT_REDIRECT.
            (Verdict::Answer | Verdict::Deliver, _) => 7,
        };
        let count = self.counts.entry((hook.index(), reason)).or_default();
        *count += 1;
        let expected = *count;
        let kernel = self.kernel.count(hook, reason)?;
        ensure!(
            kernel == expected,
            "the host ended for {reason:?}, the kernel for another reason: {:?}",
            self.counters_ahead(hook)
        );
        same("verdicts", &verdict, &ran.verdict)?;
        same("frames", &bytes, &ran.frame.as_slice())
    }

    /// The reasons that the kernel has counted more often than the host.
    fn counters_ahead(&self, hook: Hook) -> Vec<Reason> {
        let ahead = |reason: &Reason| {
            let count = self.kernel.count(hook, *reason).unwrap_or_default();
            Some(&count) > self.counts.get(&(hook.index(), *reason))
        };
        Reason::ALL.iter().copied().filter(ahead).collect()
    }
}

fn same<T: Debug + PartialEq>(what: &str, host: &T, kernel: &T) -> Result<()> {
    let report = || format!("{what} differ\n  host   {host:x?}\n  kernel {kernel:x?}");
    ensure!(host == kernel, report());
    Ok(())
}
