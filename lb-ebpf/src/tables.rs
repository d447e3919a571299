// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! `lb_common`'s tables over the kernel's maps.

mod environment;
mod onwards;

use crate::{
    lru,
    maps::{BACKENDS, FamilyMaps, NODE, RANGES, SLOTS},
    snapshot::{whole, words},
    traces,
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST},
    btf_maps::lpm_trie::Key,
};
use core::mem::offset_of;
use lb_common::{
    ends::End,
    tables::{Found, InsertError, Side, Stage, Tables, Touch},
    wire::{
        Admitted, Affinity, Backend, BackendState, CHUNK_SLOTS, Expiry, Flow, Foreign, Fragment,
        FragmentKey, FrontendKey, Mask, Node, PathMtu, Range, Reverse, Service, Slot, Tunnelled,
        Tuple, fingerprint,
    },
};

/// All maps, the settings and the clock.
pub(crate) struct KernelTables {
    node: &'static Node,
}

impl KernelTables {
    /// None: there are no settings, which the verifier wants to be thought of.
    #[inline(always)]
    pub(crate) fn new() -> Option<Self> {
        NODE.get(0).map(|node| Self { node })
    }
}

impl<F: FamilyMaps> Tables<F> for KernelTables {
    type Place = *mut Flow;

    #[inline(always)]
    fn service(&self, key: &FrontendKey<F::Address>) -> Found<Service> {
        let mut service = Service::default();
        let look = || F::frontends().get_ptr_mut(key);
        let found = whole::<_, { words::<Service>() }>(look, fingerprint(key), &mut service)?;
        Ok(found.map(|_| service))
    }

    #[inline(always)]
    fn admits(&self, service_id: u32, client: &F::Address) -> bool {
        let number_bits = Admitted::<F::Address>::NUMBER_BITS;
        let all_bits = number_bits + 8 * size_of::<F::Address>() as u32;
        let sought = Admitted {
            service_id: service_id.to_be_bytes(),
            address: *client,
        };
        F::admitted().get(&Key::new(all_bits, sought)).is_some()
    }

    #[inline(always)]
    fn range(&self) -> Range {
        RANGES.get(F::RANGE).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn slot(&self, first_chunk: u32, slot: u32) -> Option<u32> {
        let chunk = SLOTS.get_ptr(first_chunk.wrapping_add(slot / CHUNK_SLOTS))?;
        let index = (slot % CHUNK_SLOTS) as usize;
        // SAFETY: the index is less than the slots of a chunk.
        let at = unsafe { chunk.cast::<Slot>().add(index) };
        // SAFETY: bytes of a map value; chunks in use are never overwritten.
        let slot = unsafe { at.read() };
        Some(slot.id())
    }

    #[inline(always)]
    fn backend(&self, id: u32) -> Found<Backend> {
        let mut backend = Backend::default();
        let look = || BACKENDS.get_ptr_mut(id);
        let found = whole::<_, { words::<Backend>() }>(look, u64::from(id), &mut backend);
        if backend.state == BackendState::Free.byte() {
            // A free id holds zeros, id and all: no value of any backend.
            return Ok(None);
        }
        Ok(found?.map(|_| backend))
    }

    #[inline(always)]
    fn flow(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Flow) -> Found<*mut Flow> {
        const WORDS: usize = words::<Flow>();
        let identity = fingerprint(key);
        match stage {
            Stage::Established => whole::<_, WORDS>(|| F::flows().get_ptr_mut(key), identity, into),
            Stage::HalfOpen => {
                whole::<_, WORDS>(|| F::half_opens().get_ptr_mut(key), identity, into)
            }
        }
    }

    #[inline(always)]
    fn insert_flow(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        flow: &Flow,
    ) -> Result<(), InsertError> {
        let inserted = match stage {
            Stage::Established => F::flows().insert(key, flow, NOEXIST),
            Stage::HalfOpen => lru::insert(F::half_opens(), key, flow, NOEXIST),
        };
        inserted.map_err(refusal)
    }

    #[inline(always)]
    fn touch(&mut self, _stage: Stage, place: *mut Flow, flow: &Flow, side: Side, touch: &Touch) {
        // The element may have been freed and reused since it was found.
        let born_ns: *mut u64 = field(place, offset_of!(Flow, born_ns));
        // SAFETY: a map value stays readable while the program runs.
        if unsafe { born_ns.read_volatile() } != flow.born_ns {
            return;
        }
        let (seen_at, seen, progress_at, progress) = match side {
            Side::Client => (
                offset_of!(Flow, client_seen),
                flow.client_seen,
                offset_of!(Flow, client_progress),
                flow.client_progress,
            ),
            Side::Backend => (
                offset_of!(Flow, backend_seen),
                flow.backend_seen,
                offset_of!(Flow, backend_progress),
                flow.backend_progress,
            ),
        };
        if touch.progress != progress {
            let at: *mut u64 = field(place, progress_at);
            // SAFETY: an aligned word of a map value, written by packets of this direction only.
            unsafe { at.write_volatile(touch.progress) };
        }
        if touch.seen != seen {
            let at: *mut u32 = field(place, seen_at);
            // SAFETY: as above.
            unsafe { at.write_volatile(touch.seen) };
        }
        // Not where it stays: the other direction may just have shortened it.
        if touch.expires_ns != flow.expires_ns {
            let at: *mut u64 = field(place, offset_of!(Flow, expires_ns));
            // SAFETY: an aligned word of a map value; the last writer wins.
            unsafe { at.write_volatile(touch.expires_ns) };
        }
    }

    #[inline(always)]
    fn remove_flow(&mut self, stage: Stage, key: &Tuple<F::Address>) {
        // That the entry is gone already is what was wanted.
        let _ = match stage {
            Stage::Established => F::flows().remove(key),
            Stage::HalfOpen => F::half_opens().remove(key),
        };
    }

    #[inline(always)]
    fn reverse(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Reverse) -> Found<()> {
        const WORDS: usize = words::<Reverse>();
        let identity = fingerprint(key);
        let found = match stage {
            Stage::Established => {
                whole::<_, WORDS>(|| F::reverses().get_ptr_mut(key), identity, into)
            }
            Stage::HalfOpen => {
                whole::<_, WORDS>(|| F::half_reverses().get_ptr_mut(key), identity, into)
            }
        };
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn insert_reverse(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        reverse: &Reverse,
    ) -> Result<(), InsertError> {
        let inserted = match stage {
            Stage::Established => F::reverses().insert(key, reverse, NOEXIST),
            Stage::HalfOpen => lru::insert(F::half_reverses(), key, reverse, NOEXIST),
        };
        inserted.map_err(refusal)
    }

    #[inline(always)]
    fn remove_reverse(&mut self, stage: Stage, key: &Tuple<F::Address>) {
        // As with flows.
        let _ = match stage {
            Stage::Established => F::reverses().remove(key),
            Stage::HalfOpen => F::half_reverses().remove(key),
        };
    }

    #[inline(always)]
    fn affinity(&self, key: &Tuple<F::Address>, into: &mut Affinity) -> Found<()> {
        const WORDS: usize = words::<Affinity>();
        let look = || F::affinities().get_ptr_mut(key);
        let found = whole::<_, WORDS>(look, fingerprint(key), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn insert_affinity(
        &mut self,
        key: &Tuple<F::Address>,
        affinity: &Affinity,
    ) -> Result<(), InsertError> {
        let inserted = F::affinities().insert(key, affinity, NOEXIST);
        inserted.map_err(refusal)
    }

    #[inline(always)]
    fn replace_affinity(&mut self, key: &Tuple<F::Address>, affinity: &Affinity) -> bool {
        F::affinities().insert(key, affinity, EXIST).is_ok()
    }

    #[inline(always)]
    fn remove_affinity(&mut self, key: &Tuple<F::Address>) {
        // As with flows.
        let _ = F::affinities().remove(key);
    }

    #[inline(always)]
    fn foreign(&self, key: &Tuple<F::Address>, into: &mut Foreign) -> Found<()> {
        const WORDS: usize = words::<Foreign>();
        let look = || F::foreigns().get_ptr_mut(key);
        let found = whole::<_, WORDS>(look, fingerprint(key), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn put_foreign(&mut self, key: &Tuple<F::Address>, foreign: &Foreign) -> bool {
        F::foreigns().insert(key, foreign, ANY).is_ok()
    }

    #[inline(always)]
    fn remove_foreign(&mut self, key: &Tuple<F::Address>) {
        // As with flows.
        let _ = F::foreigns().remove(key);
    }

    #[inline(always)]
    fn mask(&self, key: &Tuple<F::Address>, into: &mut Mask) -> Found<()> {
        const WORDS: usize = words::<Mask>();
        let look = || F::masks().get_ptr_mut(key);
        let found = whole::<_, WORDS>(look, fingerprint(key), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn insert_mask(&mut self, key: &Tuple<F::Address>, mask: &Mask) -> Result<(), InsertError> {
        let inserted = F::masks().insert(key, mask, NOEXIST);
        inserted.map_err(refusal)
    }

    #[inline(always)]
    fn remember_onwards(&mut self, key: &Tuple<F::Address>, mask: &Mask) {
        if let Some(at) = F::masks().get_ptr_mut(key) {
            onwards::write(at, mask);
        }
    }

    #[inline(always)]
    fn remove_mask(&mut self, key: &Tuple<F::Address>) {
        // As with flows.
        let _ = F::masks().remove(key);
    }

    #[inline(always)]
    fn tunnelled(&self, key: &Tuple<F::Address>, into: &mut Tunnelled) -> Found<()> {
        const WORDS: usize = words::<Tunnelled>();
        let look = || F::tunnelleds().get_ptr_mut(key);
        let found = whole::<_, WORDS>(look, fingerprint(key), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn put_tunnelled(&mut self, key: &Tuple<F::Address>, tunnelled: &Tunnelled) {
        // Where the kernel finds no room, its packets choose anew.
        let _ = lru::insert(F::tunnelleds(), key, tunnelled, ANY);
    }

    #[inline(always)]
    fn remove_tunnelled(&mut self, key: &Tuple<F::Address>) {
        // As with flows.
        let _ = F::tunnelleds().remove(key);
    }

    #[inline(always)]
    fn path(&self, backend: &F::Address, into: &mut PathMtu) -> Found<()> {
        const WORDS: usize = words::<PathMtu>();
        let look = || F::paths().get_ptr_mut(backend);
        let found = whole::<_, WORDS>(look, fingerprint(backend), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn put_path(&mut self, backend: &F::Address, path: &PathMtu) {
        // Where the kernel finds no room, routers say it again.
        let _ = lru::insert(F::paths(), backend, path, ANY);
    }

    #[inline(always)]
    fn is_node(&self, address: &F::Address) -> bool {
        F::nodes().get_ptr(address).is_some()
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey<F::Address>, into: &mut Fragment) -> Found<()> {
        const WORDS: usize = words::<Fragment>();
        let look = || F::fragments().get_ptr_mut(key);
        let found = whole::<_, WORDS>(look, fingerprint(key), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn learn_fragment(&mut self, key: &FragmentKey<F::Address>, fragment: &Fragment) {
        // Where the kernel finds no room, the later fragments are dropped, and counted.
        let _ = lru::insert(F::fragments(), key, fragment, ANY);
    }

    #[inline(always)]
    fn forget_fragment(&mut self, key: &FragmentKey<F::Address>) {
        // As with flows.
        let _ = F::fragments().remove(key);
    }

    #[inline(always)]
    fn has_trace(&self, end: End, spot: u32) -> bool {
        let traces = match end {
            End::Service | End::Tunnelled => F::addresses(),
            End::Dialled | End::Serving | End::Behind => F::ends(),
        };
        traces::is_there(traces, spot)
    }

    #[inline(always)]
    fn leave_trace(&mut self, spot: u32) {
        traces::leave(F::ends(), spot);
    }

    #[inline(always)]
    fn add_expiry(&mut self, entry: &Expiry<F::Address>) -> bool {
        F::expiries().push(entry, 0).is_ok()
    }

    #[inline(always)]
    fn take_expiry(&mut self, into: &mut Expiry<F::Address>) -> bool {
        let Ok(Some(entry)) = F::expiries().pop() else {
            return false;
        };
        *into = entry;
        true
    }
}

/// Where a word of a flow is.
#[inline(always)]
fn field<T>(place: *mut Flow, offset: usize) -> *mut T {
    place.wrapping_byte_add(offset).cast()
}

const ANY: u64 = BPF_ANY as u64;
const NOEXIST: u64 = BPF_NOEXIST as u64;
const EXIST: u64 = BPF_EXIST as u64;

/// `-EEXIST` of `uapi/asm-generic/errno-base.h`.
const EEXIST: i32 = -17;

#[inline(always)]
fn refusal(error: i32) -> InsertError {
    if error == EEXIST {
        InsertError::Taken
    } else {
        InsertError::Full
    }
}
