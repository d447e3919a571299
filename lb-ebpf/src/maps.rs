// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Every map of Weiche. Sizes are the smallest that make sense; the agent sets the real ones.

use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue},
    macros::btf_map,
};
use lb_common::{
    family::{Family, V4, V6},
    frame::Frames,
    verdict::REASON_SLOTS,
    wire::{Backend, Chunk, Flow, FrontendKey, Node, Orphan, Reverse, Service, Tuple},
};

type A4 = <V4 as Family>::Address;
type A6 = <V6 as Family>::Address;

type Frontends<A> = HashMap<FrontendKey<A>, Service, 1024>;
type Flows<A> = HashMap<Tuple<A>, Flow, 1024>;
type Reverses<A> = HashMap<Tuple<A>, Reverse, 1024>;
type HalfOpens<A> = LruHashMap<Tuple<A>, Flow, 1024>;
type HalfReverses<A> = LruHashMap<Tuple<A>, Reverse, 1024>;
type Orphans<A> = Queue<Orphan<A>, 1024>;

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
static ORPHANS_V4: Orphans<A4> = Queue::new();
#[btf_map]
static ORPHANS_V6: Orphans<A6> = Queue::new();

#[btf_map]
pub(crate) static SLOTS: Array<Chunk, 1024> = Array::new();
#[btf_map]
pub(crate) static BACKENDS: Array<Backend, 1024> = Array::new();
#[btf_map]
pub(crate) static NODE: Array<Node, 1> = Array::new();
/// How often a run at a hook ended for a reason: index = hook * `REASON_SLOTS` + reason.
#[btf_map]
pub(crate) static REASONS: PerCpuArray<u64, { 2 * REASON_SLOTS as usize }> = PerCpuArray::new();
/// The time, where `INJECTED_CLOCK` is set.
#[btf_map]
pub(crate) static CLOCK: Array<u64, 1> = Array::new();

/// What a program works on while a packet passes: its stack holds 512 bytes. Words, because the
/// kernel allows no timer, and so no flow, in a per-CPU map.
#[btf_map]
static FRAMES: PerCpuArray<[u64; size_of::<Frames>() / 8], 2> = PerCpuArray::new();

/// How many orphans the run on this processor has asked to be looked after.
#[btf_map]
pub(crate) static ASKED: PerCpuArray<u32, 1> = PerCpuArray::new();

// No program reads the next two; they are declared here so that all maps are made, sized and
// pinned in one place.
/// The node's counter, from which the agent takes epochs and versions.
#[btf_map]
static COUNTER: Array<u64, 1> = Array::new();
/// What people call a Service, by its number.
#[btf_map]
static LABELS: HashMap<u32, [u8; 384], 1024> = HashMap::new();

/// Who works on a processor's frames.
#[derive(Clone, Copy)]
pub(crate) enum FrameUse {
    /// A packet at a hook: in softirq, or with softirqs off.
    Packet = 0,
    /// The agent, which runs a program in a system call: packets may come in between.
    Adoption = 1,
}

/// This processor's frames for a use.
#[inline(always)]
pub(crate) fn frames(by: FrameUse) -> Option<&'static mut Frames> {
    let frames = FRAMES.get_ptr_mut(by as u32)?.cast::<Frames>();
    // SAFETY: of that size and aligned to eight bytes, any bytes are frames, and no other program
    // with this use runs on this processor until this one has ended.
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
    /// Flows without a timer.
    fn orphans() -> &'static Orphans<Self::Address>;
}

/// The maps of a family by their names.
macro_rules! family_maps {
    ($family:ident: $frontends:ident $flows:ident $reverses:ident $opens:ident $half:ident
     $orphans:ident) => {
        impl FamilyMaps for $family {
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
            fn orphans() -> &'static Orphans<Self::Address> {
                &$orphans
            }
        }
    };
}

family_maps!(V4: FRONTENDS_V4 FLOWS_V4 REVERSE_V4 HALF_OPEN_V4 HALF_REVERSE_V4 ORPHANS_V4);
family_maps!(V6: FRONTENDS_V6 FLOWS_V6 REVERSE_V6 HALF_OPEN_V6 HALF_REVERSE_V6 ORPHANS_V6);
