// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Every map of Weiche. Sizes are the smallest that make sense; the agent sets the real ones.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, Queue, RingBuf},
    macros::btf_map,
};
use lb_common::{
    dns::MESSAGE,
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    verdict::REASON_SLOTS,
    wire::{
        Account, Admitted, Affinity, Backend, Chunk, Expiry, Flow, Foreign, Fragment, FragmentKey,
        FrontendKey, Labels, MASQUERADES, Mask, NameEntry, Node, PAGES, PASSAGES as PLACES, Page,
        Passage, PathMtu, Range, Resolver, Reverse, Round, Service, ShortLabels, Sweep, Tunnelled,
        Tuple, Uplink,
    },
};

type A4 = <V4 as Family>::Address;
type A6 = <V6 as Family>::Address;

type Frontends<A> = HashMap<FrontendKey<A>, Service, 1024>;
/// Nobody sets this size.
type Ranges<A> = LpmTrie<Admitted<A>, u32, 65536>;
type Flows<A> = HashMap<Tuple<A>, Flow, 1024>;
type Reverses<A> = HashMap<Tuple<A>, Reverse, 1024>;
type Affinities<A> = HashMap<Tuple<A>, Affinity, 1024>;
/// Made as they come: most nodes never hold one.
type Foreigns<A> = HashMap<Tuple<A>, Foreign, 1024, { BPF_F_NO_PREALLOC as usize }>;
type HalfOpens<A> = LruHashMap<Tuple<A>, Flow, 1024>;
/// Two for each masquerade, made as they come: a node without uplinks holds none. Nobody sets this
/// size, so that they go along when flows move.
type Masks<A> =
    HashMap<Tuple<A>, Mask, { 2 * MASQUERADES as usize }, { BPF_F_NO_PREALLOC as usize }>;
/// Fragmented datagrams that are under way at once; the oldest give way. Nobody sets this size.
type Fragments<A> = LruHashMap<FragmentKey<A>, Fragment, 16384>;
/// Flows that other nodes serve; who has sent nothing for longest gives way. Nobody sets this size.
type Tunnelleds<A> = LruHashMap<Tuple<A>, Tunnelled, 131_072>;
/// Ways to backends that routers have said something of. Nobody sets this size.
type Paths<A> = LruHashMap<A, PathMtu, 8192>;
/// Addresses of nodes, made as they come.
type Nodes<A> = HashMap<A, u32, 16_384, { BPF_F_NO_PREALLOC as usize }>;
type HalfReverses<A> = LruHashMap<Tuple<A>, Reverse, 1024>;
/// Twice as many as flows, of which one that is replaced leaves its entry until that is met, as
/// many as affinities, and as many as masquerades.
type Expiries<A> = Queue<Expiry<A>, 3072>;

pub(crate) type Traces = Array<Page, { PAGES as usize }>;

/// Ends of links whose other end is a pod's. Made as they come, but each that there may be takes 16
/// bytes at once; a kubelet has 110 pods at most, unless it is told otherwise.
#[btf_map]
pub(crate) static POD_LINKS: HashMap<u32, u32, 8192, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Interfaces to other machines, likewise.
#[btf_map]
pub(crate) static UPLINKS: HashMap<u32, Uplink, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

#[btf_map]
static FRONTENDS_V4: Frontends<A4> = HashMap::new();
#[btf_map]
static FRONTENDS_V6: Frontends<A6> = HashMap::new();
#[btf_map]
static ADMITTED_V4: Ranges<A4> = LpmTrie::new();
#[btf_map]
static ADMITTED_V6: Ranges<A6> = LpmTrie::new();
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
static MASKS_V4: Masks<A4> = HashMap::new();
#[btf_map]
static MASKS_V6: Masks<A6> = HashMap::new();
#[btf_map]
static TUNNELLED_V4: Tunnelleds<A4> = LruHashMap::new();
#[btf_map]
static TUNNELLED_V6: Tunnelleds<A6> = LruHashMap::new();
#[btf_map]
static PATHS_V4: Paths<A4> = LruHashMap::new();
#[btf_map]
static PATHS_V6: Paths<A6> = LruHashMap::new();
#[btf_map]
static NODES_V4: Nodes<A4> = HashMap::new();
#[btf_map]
static NODES_V6: Nodes<A6> = HashMap::new();
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
/// Which addresses flows have had so far, both ends in one.
#[btf_map]
static ENDS_V4: Traces = Array::new();
#[btf_map]
static ENDS_V6: Traces = Array::new();
/// Which addresses Services have had so far.
#[btf_map]
static ADDRESSES_V4: Traces = Array::new();
#[btf_map]
static ADDRESSES_V6: Traces = Array::new();
/// What the host's routing table has said lately. No pin: it is out of date at once.
#[btf_map]
pub(crate) static PASSAGES: PerCpuArray<Passage, { PLACES as usize }> = PerCpuArray::new();
/// What the node's own answers have cost.
#[btf_map]
pub(crate) static ACCOUNT: Array<Account, 1> = Array::new();
/// Whose turn it is to be given a port of the node's.
#[btf_map]
pub(crate) static TURN: Array<u64, 1> = Array::new();
/// How often a run at a hook ended for a reason: index = hook * `REASON_SLOTS` + reason.
#[btf_map]
pub(crate) static REASONS: PerCpuArray<u64, { 3 * REASON_SLOTS as usize }> = PerCpuArray::new();
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

type Names<K> = HashMap<K, NameEntry, 1024, { BPF_F_NO_PREALLOC as usize }>;

/// What names stand for. Made as they come: a namespace's name takes as much as a Service's.
#[btf_map]
pub(crate) static NAMES: Names<ShortLabels> = HashMap::new();
/// Likewise, of names that are too long for that.
#[btf_map]
pub(crate) static LONG_NAMES: Names<Labels> = HashMap::new();
/// Where the kernel is asked for them.
#[btf_map]
pub(crate) static RESOLVER: Array<Resolver, 1> = Array::new();
/// Answers of the DNS Service's that the agent is to compare; the least that every size of pages
/// allows.
#[btf_map]
pub(crate) static OVERHEARD: RingBuf<[u8; MESSAGE], 262_144> = RingBuf::new();
/// Programs that others go on with: see [`Further`].
#[btf_map]
pub(crate) static FURTHER: ProgramArray<3> = ProgramArray::new();

/// Places in `FURTHER`.
#[derive(Clone, Copy)]
pub(crate) enum Further {
    /// `weiche_ingress`.
    Ingress = 0,
    /// `weiche_names`.
    Names = 1,
    /// `weiche_tunnel`.
    Tunnel = 2,
}

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
    /// Who may dial what.
    fn admitted() -> &'static Ranges<Self::Address>;
    /// Flows that are no longer half open.
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
    /// Who is shown to backends as this node.
    fn masks() -> &'static Masks<Self::Address>;
    /// Flows that other nodes serve.
    fn tunnelleds() -> &'static Tunnelleds<Self::Address>;
    /// How long packets to backends' nodes may be.
    fn paths() -> &'static Paths<Self::Address>;
    /// Addresses of nodes.
    fn nodes() -> &'static Nodes<Self::Address>;
    /// What first fragments have taught.
    fn fragments() -> &'static Fragments<Self::Address>;
    /// The queue in which flows and affinities wait for the sweep.
    fn expiries() -> &'static Expiries<Self::Address>;
    /// Which addresses flows have had.
    fn ends() -> &'static Traces;
    /// Which addresses Services have had.
    fn addresses() -> &'static Traces;
    /// Where in `RANGES` this family stands.
    const RANGE: u32;
    /// The frame of this family.
    fn frame(frames: &mut Frames) -> &mut Frame<Self::Address>;
}

/// The maps of a family by their names.
macro_rules! family_maps {
    ($family:ident: $frontends:ident $admitted:ident $flows:ident $reverses:ident $opens:ident
     $half:ident $affinities:ident $foreigns:ident $masks:ident $tunnelleds:ident $paths:ident
     $nodes:ident $fragments:ident $expiries:ident $ends:ident $addresses:ident $frame:ident
     $range:literal) => {
        impl FamilyMaps for $family {
            const RANGE: u32 = $range;

            #[inline(always)]
            fn frontends() -> &'static Frontends<Self::Address> {
                &$frontends
            }

            #[inline(always)]
            fn admitted() -> &'static Ranges<Self::Address> {
                &$admitted
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
            fn masks() -> &'static Masks<Self::Address> {
                &$masks
            }

            #[inline(always)]
            fn tunnelleds() -> &'static Tunnelleds<Self::Address> {
                &$tunnelleds
            }

            #[inline(always)]
            fn paths() -> &'static Paths<Self::Address> {
                &$paths
            }

            #[inline(always)]
            fn nodes() -> &'static Nodes<Self::Address> {
                &$nodes
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
            fn ends() -> &'static Traces {
                &$ends
            }

            #[inline(always)]
            fn addresses() -> &'static Traces {
                &$addresses
            }

            #[inline(always)]
            fn frame(frames: &mut Frames) -> &mut Frame<Self::Address> {
                &mut frames.$frame
            }
        }
    };
}

family_maps!(V4: FRONTENDS_V4 ADMITTED_V4 FLOWS_V4 REVERSE_V4 HALF_OPEN_V4 HALF_REVERSE_V4
    AFFINITY_V4 FOREIGN_V4 MASKS_V4 TUNNELLED_V4 PATHS_V4 NODES_V4 FRAGMENTS_V4 EXPIRY_V4
    ENDS_V4 ADDRESSES_V4 narrow 0);
family_maps!(V6: FRONTENDS_V6 ADMITTED_V6 FLOWS_V6 REVERSE_V6 HALF_OPEN_V6 HALF_REVERSE_V6
    AFFINITY_V6 FOREIGN_V6 MASKS_V6 TUNNELLED_V6 PATHS_V6 NODES_V6 FRAGMENTS_V6 EXPIRY_V6
    ENDS_V6 ADDRESSES_V6 wide 1);
