// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Every map of Weiche. Sizes are the smallest that make sense; the agent sets the real ones.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue},
    macros::btf_map,
};
use lb_common::{
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    verdict::REASON_SLOTS,
    wire::{
        Account, Affinity, Backend, Chunk, Expiry, Flow, Foreign, Fragment, FragmentKey,
        FrontendKey, Node, Range, Reverse, Round, Service, Sweep, Tuple,
    },
};

type A4 = <V4 as Family>::Address;
type A6 = <V6 as Family>::Address;

type Frontends<A> = HashMap<FrontendKey<A>, Service, 1024>;
type Flows<A> = HashMap<Tuple<A>, Flow, 1024>;
type Reverses<A> = HashMap<Tuple<A>, Reverse, 1024>;
type Affinities<A> = HashMap<Tuple<A>, Affinity, 1024>;
/// Made as they come: most nodes never hold one.
type Foreigns<A> = HashMap<Tuple<A>, Foreign, 1024, { BPF_F_NO_PREALLOC as usize }>;
type HalfOpens<A> = LruHashMap<Tuple<A>, Flow, 1024>;
/// Fragmented datagrams that are under way at once; the oldest give way. Nobody sets this size.
type Fragments<A> = LruHashMap<FragmentKey<A>, Fragment, 16384>;
type HalfReverses<A> = LruHashMap<Tuple<A>, Reverse, 1024>;
/// Twice as many as flows, of which one that is replaced leaves its entry until that is met, and
/// as many as affinities.
type Expiries<A> = Queue<Expiry<A>, 3072>;

/// Ends of links whose other end is a pod's. Few, and made as they come.
#[btf_map]
pub(crate) static POD_LINKS: HashMap<u32, u32, 65536, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
static FRONTENDS_V4: Frontends<A4> = HashMap::new();
#[btf_map]
static FRONTENDS_V6: Frontends<A6> = HashMap::new();
#[btf_map]
static FLOWS_V4: Flows<A4> = HashMap::new();
#[btf_map]
static FLOWS_V6: Flows<A6> = HashMap::new();
#[btf_map]
static REVERSE_V4: Reverses<A4> = HashMap::new();
#[btf_map]
static REVERSE_V6: Reverses<A6> = HashMap::new();
#[btf_map]
static HALF_OPEN_V4: HalfOpens<A4> = LruHashMap::new();
#[btf_map]
static HALF_OPEN_V6: HalfOpens<A6> = LruHashMap::new();
#[btf_map]
static HALF_REVERSE_V4: HalfReverses<A4> = LruHashMap::new();
#[btf_map]
static HALF_REVERSE_V6: HalfReverses<A6> = LruHashMap::new();
#[btf_map]
static AFFINITY_V4: Affinities<A4> = HashMap::new();
#[btf_map]
static AFFINITY_V6: Affinities<A6> = HashMap::new();
#[btf_map]
static FOREIGN_V4: Foreigns<A4> = HashMap::new();
#[btf_map]
static FOREIGN_V6: Foreigns<A6> = HashMap::new();
#[btf_map]
static FRAGMENTS_V4: Fragments<A4> = LruHashMap::new();
#[btf_map]
static FRAGMENTS_V6: Fragments<A6> = LruHashMap::new();
#[btf_map]
static EXPIRY_V4: Expiries<A4> = Queue::new();
#[btf_map]
static EXPIRY_V6: Expiries<A6> = Queue::new();

#[btf_map]
pub(crate) static SLOTS: Array<Chunk, 1024> = Array::new();
#[btf_map]
pub(crate) static BACKENDS: Array<Backend, 1024> = Array::new();
#[btf_map]
pub(crate) static NODE: Array<Node, 1> = Array::new();
/// Where Services' addresses come from, IPv4's and IPv6's.
#[btf_map]
pub(crate) static RANGES: Array<Range, 2> = Array::new();
/// What the node's own answers have cost.
#[btf_map]
pub(crate) static ACCOUNT: Array<Account, 1> = Array::new();
/// How often a run at a hook ended for a reason: index = hook * `REASON_SLOTS` + reason.
#[btf_map]
pub(crate) static REASONS: PerCpuArray<u64, { 2 * REASON_SLOTS as usize }> = PerCpuArray::new();
/// The time, where `INJECTED_CLOCK` is set.
#[btf_map]
pub(crate) static CLOCK: Array<u64, 1> = Array::new();

/// The timer.
#[btf_map]
pub(crate) static SWEEP: Array<Sweep, 1> = Array::new();
/// How far the sweep has come. Not beside the timer: the compiler adds an offset before it checks
/// for null, which the verifiers of Linux 6.1 and 6.12 refuse.
#[btf_map]
pub(crate) static ROUND: Array<Round, 1> = Array::new();

/// What a program works on: its stack holds 512 bytes.
#[btf_map]
static FRAMES: PerCpuArray<Frames, 2> = PerCpuArray::new();

// No program reads the next two; they are declared here so that all maps are made, sized and
// pinned in one place.
/// The node's counter, from which the agent takes epochs and versions.
#[btf_map]
static COUNTER: Array<u64, 1> = Array::new();
/// What people call a Service, by its number. Long, and read by no program: made as they come.
#[btf_map]
static LABELS: HashMap<u32, [u8; 384], 1024, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// Who works on a processor's frames.
#[derive(Clone, Copy)]
pub(crate) enum FrameUse {
    /// A packet at a hook: in softirq, or with softirqs off.
    Packet = 0,
    /// The sweep: when the timer fires, or in a test's system call, in which packets may come.
    Sweep = 1,
}

/// This processor's frames for a use.
#[inline(always)]
pub(crate) fn frames(by: FrameUse) -> Option<&'static mut Frames> {
    let frames = FRAMES.get_ptr_mut(by as u32)?;
    // SAFETY: any bytes are frames, and no other program with this use runs on this processor
    // until this one has ended.
    Some(unsafe { &mut *frames })
}

/// The maps of one family.
pub(crate) trait FamilyMaps: Family {
    /// Frontends.
    fn frontends() -> &'static Frontends<Self::Address>;
    /// Flows that are no longer, or never were, half open.
    fn flows() -> &'static Flows<Self::Address>;
    /// Their reverse entries.
    fn reverses() -> &'static Reverses<Self::Address>;
    /// Half-open flows.
    fn half_opens() -> &'static HalfOpens<Self::Address>;
    /// Their reverse entries.
    fn half_reverses() -> &'static HalfReverses<Self::Address>;
    /// Which backends clients are pinned to.
    fn affinities() -> &'static Affinities<Self::Address>;
    /// Flows that are conntrack's.
    fn foreigns() -> &'static Foreigns<Self::Address>;
    /// What first fragments have taught.
    fn fragments() -> &'static Fragments<Self::Address>;
    /// The queue in which flows and affinities wait for the sweep.
    fn expiries() -> &'static Expiries<Self::Address>;
    /// Where in `RANGES` this family stands.
    const RANGE: u32;
    /// The frame of this family.
    fn frame(frames: &mut Frames) -> &mut Frame<Self::Address>;
}

/// The maps of a family by their names.
macro_rules! family_maps {
    ($family:ident: $frontends:ident $flows:ident $reverses:ident $opens:ident $half:ident
     $affinities:ident $foreigns:ident $fragments:ident $expiries:ident $frame:ident
     $range:literal) => {
        impl FamilyMaps for $family {
            const RANGE: u32 = $range;

            #[inline(always)]
            fn frontends() -> &'static Frontends<Self::Address> {
                &$frontends
            }

            #[inline(always)]
            fn flows() -> &'static Flows<Self::Address> {
                &$flows
            }

            #[inline(always)]
            fn reverses() -> &'static Reverses<Self::Address> {
                &$reverses
            }

            #[inline(always)]
            fn half_opens() -> &'static HalfOpens<Self::Address> {
                &$opens
            }

            #[inline(always)]
            fn half_reverses() -> &'static HalfReverses<Self::Address> {
                &$half
            }

            #[inline(always)]
            fn affinities() -> &'static Affinities<Self::Address> {
                &$affinities
            }

            #[inline(always)]
            fn foreigns() -> &'static Foreigns<Self::Address> {
                &$foreigns
            }

            #[inline(always)]
            fn fragments() -> &'static Fragments<Self::Address> {
                &$fragments
            }

            #[inline(always)]
            fn expiries() -> &'static Expiries<Self::Address> {
                &$expiries
            }

            #[inline(always)]
            fn frame(frames: &mut Frames) -> &mut Frame<Self::Address> {
                &mut frames.$frame
            }
        }
    };
}

family_maps!(V4: FRONTENDS_V4 FLOWS_V4 REVERSE_V4 HALF_OPEN_V4 HALF_REVERSE_V4 AFFINITY_V4
    FOREIGN_V4 FRAGMENTS_V4 EXPIRY_V4 narrow 0);
family_maps!(V6: FRONTENDS_V6 FLOWS_V6 REVERSE_V6 HALF_OPEN_V6 HALF_REVERSE_V6 AFFINITY_V6
    FOREIGN_V6 FRAGMENTS_V6 EXPIRY_V6 wide 1);
