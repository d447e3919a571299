// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real programs, loaded into the kernel of this machine and run on frames of a test.
//!
//! Nothing is attached or pinned: programs and maps vanish with the value. The clock is the
//! test's. Tables are read and written as the types of [`crate::tables`], so that both can be
//! compared.

mod sizes;
mod maps;
mod names;
mod uplinks;

use crate::tables::Memory;
use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, MapData, PerCpuArray},
    programs::{ProgramError, SchedClassifier, Xdp},
};
use lb_common::{
    family::{V4, V6},
    verdict::{REASON_SLOTS, Reason},
    wire::{Account, Backend, Chunk, Node, Range},
};
use lb_userspace::{datapath::further, maps::pod::Wire};
pub use maps::FamilyMaps;
use maps::{array, map, pin};
use names::NameMaps;
pub use sizes::Sizes;
use std::{path::Path, time::Duration};
use uplinks::Uplinks;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// TC ingress: `weiche_ingress`.
    Ingress,
    /// TC egress: `weiche_egress`.
    Egress,
    /// XDP: `weiche_uplink`.
    Uplink,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingress, Self::Egress, Self::Uplink];
    /// Those of TC.
    pub const TC: [Self; 2] = [Self::Ingress, Self::Egress];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Uplink => "xdp",
        }
    }

    /// Its place in [`Hook::ALL`] and among the counters.
    pub fn index(self) -> u32 {
        match self {
            Self::Ingress => 0,
            Self::Egress => 1,
            Self::Uplink => 2,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Ingress => "weiche_ingress",
            Self::Egress => "weiche_egress",
            Self::Uplink => "weiche_uplink",
        }
    }
}

/// The program that starts the sweep.
const SWEEP: &str = "weiche_sweep";
/// The program that answers questions for names.
const NAMES: &str = "weiche_names";
/// The program that leads into tunnels and out of them.
const TUNNEL: &str = "weiche_tunnel";

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the hook would have got.
    pub verdict: i32,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
}

/// Programs and maps.
pub struct Kernel {
    /// The programs.
    pub programs: Programs,
    sizes: Sizes,
    clock: Array<MapData, u64>,
    node: Array<MapData, Wire<Node>>,
    account: Array<MapData, Wire<Account>>,
    ranges: Array<MapData, Wire<Range>>,
    uplinks: Uplinks,
    chunks: Array<MapData, Wire<Chunk>>,
    backends: Array<MapData, Wire<Backend>>,
    /// What there is for questions about names.
    pub names: NameMaps,
    reasons: PerCpuArray<MapData, u64>,
    /// What there is for IPv4.
    pub v4: FamilyMaps<V4>,
    /// What there is for IPv6.
    pub v6: FamilyMaps<V6>,
}

/// The programs of both hooks.
pub struct Programs {
    ebpf: Ebpf,
    frame: Vec<u8>,
}

impl Kernel {
    /// Loads an object, with a clock that stands until [`Kernel::set_clock`].
    pub fn load(object: &[u8], sizes: Sizes) -> Result<Self> {
        Self::load_with(object, sizes, 1, None)
    }

    /// The same, with every map pinned in a folder.
    pub fn load_pinned(object: &[u8], sizes: Sizes, pins: &Path) -> Result<Self> {
        Self::load_with(object, sizes, 1, Some(pins))
    }

    /// Loads an object that goes by the kernel's own clock, as it does for the agent.
    pub fn load_in_real_time(object: &[u8], sizes: Sizes) -> Result<Self> {
        Self::load_with(object, sizes, 0, None)
    }

    fn load_with(
        object: &[u8],
        sizes: Sizes,
        injected_clock: u32,
        pins: Option<&Path>,
    ) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("INJECTED_CLOCK", &injected_clock, true);
        for (name, size) in sizes.of_maps() {
            loader.map_max_entries(name, size);
        }
        let ebpf = loader.load(object);
        let mut ebpf = ebpf.context("loading the object; this needs root")?;
        for name in [
            Hook::Ingress.program(),
            Hook::Egress.program(),
            SWEEP,
            NAMES,
            TUNNEL,
        ] {
            let program = ebpf
                .program_mut(name)
                .context("the object has the program")?;
            let program: &mut SchedClassifier = program.try_into()?;
            program.load().with_context(|| format!("loading {name}"))?;
        }
        let uplink = ebpf.program_mut(Hook::Uplink.program());
        let uplink: &mut Xdp = uplink.context("the object has the program")?.try_into()?;
        uplink.load().context("loading weiche_uplink")?;
        further::fill(&mut ebpf)?;
        if let Some(pins) = pins {
            pin(&ebpf, pins)?;
        }
        Ok(Self {
            sizes,
            clock: array(&mut ebpf, "CLOCK")?,
            node: array(&mut ebpf, "NODE")?,
            account: array(&mut ebpf, "ACCOUNT")?,
            ranges: array(&mut ebpf, "RANGES")?,
            uplinks: Uplinks::take(&mut ebpf)?,
            chunks: array(&mut ebpf, "SLOTS")?,
            backends: array(&mut ebpf, "BACKENDS")?,
            names: NameMaps::take(&mut ebpf)?,
            reasons: PerCpuArray::try_from(map(&mut ebpf, "REASONS")?)?,
            v4: FamilyMaps::take(&mut ebpf, "V4")?,
            v6: FamilyMaps::take(&mut ebpf, "V6")?,
            // An answer may be longer than what it answers, but never than this.
            programs: Programs {
                ebpf,
                frame: vec![0; 1 << 16],
            },
        })
    }

    /// What the maps have room for.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// How often a hook's program has ended for a reason.
    pub fn count(&self, hook: Hook, reason: Reason) -> Result<u64> {
        #[expect(
            clippy::as_conversions,
            reason = "a reason's number is its discriminant"
        )]
        let index = hook.index() * REASON_SLOTS + reason as u32;
        Ok(self.reasons.get(&index, 0)?.iter().sum())
    }

    /// Sets the clock.
    pub fn set_clock(&mut self, now_ns: u64) -> Result<()> {
        Ok(self.clock.set(0, &now_ns, 0)?)
    }

    /// Makes all tables, the settings and the clock equal to a memory's.
    pub fn copy_from(&mut self, memory: &Memory) -> Result<()> {
        self.copy_node(memory)?;
        self.names.copy(memory)?;
        self.v4.trace_service(&memory.resolver.narrow)?;
        self.v6.trace_service(&memory.resolver.wide)?;
        self.copy_services(memory)?;
        self.copy_flows(memory)
    }

    /// What the answers so far have cost.
    pub fn account(&self) -> Result<Account> {
        let Wire(account) = self.account.get(&0, 0)?;
        Ok(account)
    }

    /// Makes clock, settings and account equal to a memory's.
    pub fn copy_node(&mut self, memory: &Memory) -> Result<()> {
        self.set_clock(memory.now_ns)?;
        self.account.set(0, &Wire(memory.account), 0)?;
        for (index, range) in (0..).zip(memory.ranges) {
            self.ranges.set(index, &Wire(range), 0)?;
        }
        self.uplinks.copy(memory)?;
        Ok(self.node.set(0, &Wire(memory.node), 0)?)
    }

    /// Makes frontends, slots and backends equal to a memory's.
    pub fn copy_services(&mut self, memory: &Memory) -> Result<()> {
        for (index, chunk) in &memory.chunks {
            self.chunks.set(*index, &Wire(*chunk), 0)?;
        }
        for id in 0..self.sizes.backends {
            let backend = memory.backends.get(&id).copied().unwrap_or_default();
            self.backends.set(id, &Wire(backend), 0)?;
        }
        self.v4.copy_admitted(&memory.admitted)?;
        self.v6.copy_admitted(&memory.admitted)?;
        self.v4.copy_frontends(&memory.v4)?;
        self.v6.copy_frontends(&memory.v6)
    }

    /// Makes conntrack equal to a memory's.
    pub fn copy_flows(&mut self, memory: &Memory) -> Result<()> {
        self.v4.copy_flows(&memory.v4)?;
        self.v6.copy_flows(&memory.v6)
    }
}

impl Programs {
    /// Runs the program of a hook on one frame; nothing if the kernel refuses to make a packet of
    /// it, as it does with frames that end before the IP header does.
    pub fn run(&mut self, hook: Hook, frame: &[u8]) -> Result<Option<Ran>> {
        let ran = self.repeat(hook, frame, 1);
        match ran {
            Ok((verdict, length)) => Ok(Some(Ran {
                verdict,
                frame: self.frame[..length].to_vec(),
            })),
            Err(error) if is_invalid(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("running {}", hook.program())),
        }
    }

    /// Runs the program of a hook on a frame that its sender has left to be cut into segments of so
    /// many bytes.
    pub fn run_uncut(&mut self, hook: Hook, frame: &[u8], segment: u32) -> Result<Ran> {
        // `__sk_buff` of `uapi/linux/bpf.h`, of which `gso_size` is the 45th word.
        let mut context = [0; 48];
        context[44] = segment;
        let context: Vec<u8> = context.into_iter().flat_map(u32::to_ne_bytes).collect();
        let (verdict, length) = self.start(hook, frame, Some(&context), 1)?;
        Ok(Ran {
            verdict,
            frame: self.frame[..length].to_vec(),
        })
    }

    /// Runs a program so many times on one frame, which it gets back as it left it.
    pub fn repeat(
        &mut self,
        hook: Hook,
        frame: &[u8],
        times: u32,
    ) -> Result<(i32, usize), ProgramError> {
        self.start(hook, frame, None, times)
    }

    /// Runs the program for uplinks so many times on a frame that comes by an interface of the
    /// namespace that we are in: how long a run takes, and the frame as the last one left it.
    pub fn run_early(&mut self, frame: &[u8], ifindex: u32, times: u32) -> Result<(Duration, Ran)> {
        let program = self.ebpf.program(Hook::Uplink.program());
        let program: &Xdp = program.context("the object has the program")?.try_into()?;
        // `xdp_md` of `uapi/linux/bpf.h`: data, its end, no metadata, the interface, its queue, and
        // none to leave by.
        let context = [0, u32::try_from(frame.len())?, 0, ifindex, 0, 0];
        let context: Vec<u8> = context.into_iter().flat_map(u32::to_ne_bytes).collect();
        let ran = program.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.frame),
            ctx_in: Some(&context),
            repeat: times,
            ..TestRunOptions::default()
        })?;
        let length = usize::try_from(ran.data_size_out)?;
        let ran_out = Ran {
            verdict: ran.return_value.cast_signed(),
            frame: self.frame[..length].to_vec(),
        };
        Ok((ran.duration, ran_out))
    }

    fn start(
        &mut self,
        hook: Hook,
        frame: &[u8],
        context: Option<&[u8]>,
        times: u32,
    ) -> Result<(i32, usize), ProgramError> {
        let program = self
            .ebpf
            .program(hook.program())
            .ok_or(ProgramError::NotLoaded)?;
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.frame),
            ctx_in: context,
            repeat: times,
            ..TestRunOptions::default()
        };
        let ran = if hook == Hook::Uplink {
            let program: &Xdp = program.try_into()?;
            program.test_run(options)?
        } else {
            let program: &SchedClassifier = program.try_into()?;
            program.test_run(options)?
        };
        let length = usize::try_from(ran.data_size_out).unwrap_or(usize::MAX);
        Ok((ran.return_value.cast_signed(), length))
    }

    /// Runs the program that starts the sweep, or makes one where the clock is the test's.
    pub fn sweep(&mut self) -> Result<()> {
        let program = self
            .ebpf
            .program(SWEEP)
            .context("the object has the program")?;
        let program: &SchedClassifier = program.try_into()?;
        let ran = program.test_run(TestRunOptions {
            data_in: Some(&[0; 14]),
            ..TestRunOptions::default()
        })?;
        ensure!(
            ran.return_value == 0,
            "{SWEEP} returned {}",
            ran.return_value.cast_signed()
        );
        Ok(())
    }

    /// The program for uplinks, for others to go on with.
    pub fn uplink(&self) -> Result<&Xdp> {
        let program = self.ebpf.program(Hook::Uplink.program());
        Ok(program.context("the object has the program")?.try_into()?)
    }

    /// The program of a hook, for tests that attach it.
    pub fn classifier(&mut self, hook: Hook) -> Result<&mut SchedClassifier> {
        let program = self
            .ebpf
            .program_mut(hook.program())
            .context("the object has the program")?;
        Ok(program.try_into()?)
    }
}

/// Whether the kernel found that the frame makes no packet.
fn is_invalid(error: &ProgramError) -> bool {
    match error {
        ProgramError::SyscallError(error) => {
            error.io_error.kind() == std::io::ErrorKind::InvalidInput
        }
        _ => false,
    }
}
