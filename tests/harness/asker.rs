// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nanoseconds of a program that changes its packets, by many runs in a row.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, ProgramArray},
    programs::SchedClassifier,
};
use tests_ebpf::asker::{Prepared, ROOM};

/// The program, which is no part of `weiche`.
static ASKER: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/asker-bpf"));
/// What it returns where no other program goes on.
const DROP: u32 = 2;

/// What makes of each run's packet the next one of a list, and has a program go on with it.
pub struct Asker {
    ebpf: Ebpf,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl Asker {
    /// One that hands packets to a program which is loaded.
    pub fn open(packets: &[Vec<u8>], program: &SchedClassifier) -> Result<Self> {
        let count = u32::try_from(packets.len())?;
        let mut ebpf = EbpfLoader::new()
            .override_global("COUNT", &count, true)
            .map_max_entries("PACKETS", count)
            .load(ASKER)
            .context("loading the object; this needs root")?;
        let map = ebpf.map_mut("PACKETS").context("no map PACKETS")?;
        let mut prepared = Array::<_, Prepared>::try_from(map)?;
        for (number, packet) in (0..).zip(packets) {
            prepared.set(number, &words(packet)?, 0)?;
        }
        let map = ebpf.map_mut("ONWARD").context("no map ONWARD")?;
        ProgramArray::try_from(map)?.set(0, program.fd()?, 0)?;
        asker(&mut ebpf)?.load()?;
        Ok(Self { ebpf })
    }

    /// Nanoseconds of a run, as the kernel counts them over so many.
    pub fn mean_ns(&mut self, runs: u32) -> Result<f64> {
        let ran = asker(&mut self.ebpf)?.test_run(TestRunOptions {
            data_in: Some(&[0; ROOM]),
            repeat: runs,
            ..TestRunOptions::default()
        })?;
        ensure!(ran.return_value != DROP, "no program went on: {ran:?}");
        Ok(ran.duration.as_secs_f64() * 1e9)
    }
}

fn asker(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier> {
    let program = ebpf.program_mut("asker").context("no such program")?;
    Ok(program.try_into()?)
}

fn words(packet: &[u8]) -> Result<Prepared> {
    let mut bytes = [0; ROOM];
    let head = bytes.get_mut(..packet.len());
    head.with_context(|| format!("such packets are of at most {ROOM} bytes"))?
        .copy_from_slice(packet);
    let mut words = Prepared::default();
    let [length, rest @ ..] = &mut words;
    *length = u64::try_from(packet.len())?;
    for (word, bytes) in rest.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(words)
}
