// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nanoseconds of a program at XDP that makes its frames longer, by many runs in a row.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, ProgramArray},
    programs::Xdp,
};
use tests_ebpf::rewinder::{Prepared, ROOM};

/// The program, which is no part of `weiche`.
static REWINDER: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/rewinder-bpf"));
/// What it returns where no other program goes on.
const ABORTED: u32 = 0;

/// What makes of each run's frame the same one again, but of the next flow and for the next
/// Service, and has a program go on with it.
pub struct Rewinder {
    ebpf: Ebpf,
    ifindex: u32,
}

impl std::fmt::Debug for Rewinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewinder").finish_non_exhaustive()
    }
}

impl Rewinder {
    /// One that hands frames, which come by an interface, to a program that is loaded. The client's
    /// port and the last two bytes of the Service's address count the flows and the Services,
    /// powers of two, from 0 on.
    pub fn open(
        frame: &[u8],
        [flows, services]: [u32; 2],
        program: &Xdp,
        ifindex: u32,
    ) -> Result<Self> {
        let is_wide = u32::from(frame.get(12..14) == Some(&[0x86, 0xdd]));
        let mut ebpf = EbpfLoader::new()
            .override_global("FLOWS", &flows, true)
            .override_global("SERVICES", &services, true)
            .override_global("IS_WIDE", &is_wide, true)
            .load(REWINDER)
            .context("loading the object; this needs root")?;
        let mut bytes = [0; ROOM];
        let head = bytes.get_mut(..frame.len());
        head.with_context(|| format!("such frames are of at most {ROOM} bytes"))?
            .copy_from_slice(frame);
        let mut words = Prepared::default();
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let map = ebpf.map_mut("FRAME").context("no map FRAME")?;
        Array::<_, Prepared>::try_from(map)?.set(0, &words, 0)?;
        let map = ebpf.map_mut("ONWARD").context("no map ONWARD")?;
        ProgramArray::try_from(map)?.set(0, program.fd()?, 0)?;
        let program = ebpf.program_mut("rewinder").context("no such program")?;
        let program: &mut Xdp = program.try_into()?;
        program.load()?;
        Ok(Self { ebpf, ifindex })
    }

    /// Nanoseconds of a run, as the kernel counts them over so many, in the namespace that we are
    /// in.
    pub fn mean_ns(&mut self, runs: u32) -> Result<f64> {
        let program = self.ebpf.program("rewinder").context("no such program")?;
        let program: &Xdp = program.try_into()?;
        // `xdp_md` of `uapi/linux/bpf.h`: data, its end, no metadata, the interface, its queue, and
        // none to leave by.
        let context = [0, u32::try_from(ROOM)?, 0, self.ifindex, 0, 0];
        let context: Vec<u8> = context.into_iter().flat_map(u32::to_ne_bytes).collect();
        let ran = program.test_run(TestRunOptions {
            data_in: Some(&[0; ROOM]),
            ctx_in: Some(&context),
            repeat: runs,
            ..TestRunOptions::default()
        })?;
        ensure!(ran.return_value != ABORTED, "no program went on: {ran:?}");
        Ok(ran.duration.as_secs_f64() * 1e9)
    }
}
