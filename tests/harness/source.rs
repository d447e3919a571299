// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source of more packets than a packet socket can send: they arrive at a link as if it had
//! received them, and cost hardly more than what the stack does with them. And a sink for them.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _,
    maps::{Array, MapData, PerCpuArray},
    programs::{SchedClassifier, TcAttachType, TestRunAttrs, TestRunOptions, Xdp},
};
use tests_ebpf::source::{Bits, LENGTH, Places};

use crate::{hook, link, netns::Namespace};

/// The programs, which are no part of `weiche`.
static SOURCE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/source-bpf"));
static SINK: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sink-bpf"));
/// Packets that the stack gets at once: as many as a NIC's driver hands it (`NAPI_POLL_WEIGHT`).
const BATCH: u32 = 64;

/// What sends packets, all alike but for a number.
pub struct Source {
    ebpf: Ebpf,
    frame: [u8; LENGTH],
    link: u32,
    at_once: u32,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Source {
    /// One whose packets arrive at a link of a namespace. The frame has 0 where the number comes,
    /// and 0xffff where its complement does.
    pub fn open(
        namespace: &Namespace,
        link: &str,
        packet: &[u8],
        numbers: (Places, Bits),
    ) -> Result<Self> {
        Self::load(namespace, link, packet, numbers, 0)
    }

    /// The same, but its packets are sent out of the link, to where its other end is.
    pub fn open_sending(
        namespace: &Namespace,
        link: &str,
        packet: &[u8],
        numbers: (Places, Bits),
    ) -> Result<Self> {
        Self::load(namespace, link, packet, numbers, 1)
    }

    fn load(
        namespace: &Namespace,
        link: &str,
        packet: &[u8],
        (places, bits): (Places, Bits),
        sends: u32,
    ) -> Result<Self> {
        let mut frame = [0; LENGTH];
        let head = frame.get_mut(..packet.len());
        head.with_context(|| format!("a source's packets are of at most {LENGTH} bytes"))?
            .copy_from_slice(packet);
        let mut ebpf = EbpfLoader::new()
            .override_global("PLACES", places.as_slice(), true)
            .override_global("BITS", bits.as_slice(), true)
            .override_global("SENDS", &sends, true)
            .load(SOURCE)
            .context("loading the object; this needs root")?;
        let map = ebpf.map_mut("FRAME").context("no map FRAME")?;
        let mut words = [0_u64; LENGTH / 8];
        for (word, bytes) in words.iter_mut().zip(frame.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Array::<_, [u64; LENGTH / 8]>::try_from(map)?.set(0, &words, 0)?;
        let program: &mut Xdp = ebpf
            .program_mut("source")
            .context("no such program")?
            .try_into()?;
        program.load()?;
        let link = namespace.run(|| link::index(link))??;
        Ok(Self {
            ebpf,
            frame,
            link,
            at_once: BATCH,
        })
    }

    /// The stack gets so many at once.
    #[must_use]
    pub fn at_once(self, at_once: u32) -> Self {
        Self { at_once, ..self }
    }

    /// Sends so many, as fast as the stack takes them. The caller's thread is in the namespace.
    ///
    /// Before the first one, the kernel patches code and waits for all processors
    /// (`bpf_dispatcher_change_prog`): so it is better called seldom.
    pub fn send(&self, count: u32) -> Result<()> {
        let program: &Xdp = self
            .ebpf
            .program("source")
            .context("no such program")?
            .try_into()?;
        // `xdp_md` of `uapi/linux/bpf.h`: data, its end, no metadata, the link it comes in by, its
        // queue, and no link to leave by.
        let context = [0, u32::try_from(LENGTH)?, 0, self.link, 0, 0];
        let context: Vec<u8> = context.into_iter().flat_map(u32::to_ne_bytes).collect();
        let ran = program.test_run(TestRunOptions {
            data_in: Some(&self.frame),
            ctx_in: Some(&context),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(self.at_once),
            ..TestRunOptions::default()
        })?;
        ensure!(ran.return_value == 0, "the source failed: {ran:?}");
        Ok(())
    }
}

/// What takes all packets of IP that come to a link, and counts them, as long as it lives.
pub struct Sink {
    taken: PerCpuArray<MapData, u64>,
    _program: Ebpf,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl Sink {
    /// Puts one at a link of a namespace.
    pub fn open(namespace: &Namespace, link: &str) -> Result<Self> {
        let mut ebpf = Ebpf::load(SINK).context("loading the object; this needs root")?;
        let taken = ebpf.take_map("TAKEN").context("no map TAKEN")?.try_into()?;
        let program: &mut SchedClassifier = ebpf
            .program_mut("sink")
            .context("no such program")?
            .try_into()?;
        program.load()?;
        namespace.run(|| hook::attach(program, link, TcAttachType::Ingress))??;
        Ok(Self {
            taken,
            _program: ebpf,
        })
    }

    /// How many packets it has taken.
    pub fn taken(&self) -> Result<u64> {
        Ok(self.taken.get(&0, 0)?.iter().sum())
    }
}
