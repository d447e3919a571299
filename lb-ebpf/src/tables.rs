// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! `lb_common`'s tables over the kernel's maps.

use crate::{
    clock,
    maps::{ACCOUNT, BACKENDS, FamilyMaps, NODE, POD_LINKS, RANGES, SLOTS},
    snapshot::whole,
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_EXIST, BPF_NOEXIST, bpf_spin_lock},
    helpers::generated::{bpf_spin_lock, bpf_spin_unlock},
};
use core::{mem::offset_of, ops::Deref};
use lb_common::{
    tables::{Environment, Found, InsertError, Side, Stage, Tables, Touch, Word},
    wire::{
        Account, Affinity, Backend, BackendState, CHUNK_SLOTS, Expiry, Flow, Foreign, Fragment,
        FragmentKey, FrontendKey, Node, Range, Reverse, Service, Tuple, fingerprint,
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

impl Environment for KernelTables {
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    #[inline(always)]
    fn about_now_ns(&self) -> u64 {
        clock::about_now_ns()
    }

    #[inline(always)]
    fn node(&self) -> impl Deref<Target = Node> + use<> {
        self.node
    }

    #[inline(always)]
    fn is_pod_link(&self, ifindex: u32) -> bool {
        POD_LINKS.get_ptr(&ifindex).is_some()
    }

    #[inline(always)]
    fn account(&self, word: Word) -> u64 {
        let Some(account) = ACCOUNT.get_ptr_mut(0) else {
            return 0;
        };
        // SAFETY: an aligned word of a map value; `settle` notices if it is no longer true.
        unsafe { account_word(account, word).read_volatile() }
    }

    #[inline(always)]
    fn settle(&mut self, word: Word, from: u64, to: u64) -> bool {
        let Some(account) = ACCOUNT.get_ptr_mut(0) else {
            return false;
        };
        let lock: *mut bpf_spin_lock = account.wrapping_byte_add(offset_of!(Account, lock)).cast();
        let word = account_word(account, word);
        // The target has no compare-and-exchange.
        // SAFETY: the lock of that very value, and nothing in between calls anything, as the
        // verifier checks.
        unsafe { bpf_spin_lock(lock) };
        // SAFETY: an aligned word of a map value.
        let is_as_read = unsafe { word.read_volatile() } == from;
        if is_as_read {
            // SAFETY: as above.
            unsafe { word.write_volatile(to) };
        }
        // SAFETY: as above.
        unsafe { bpf_spin_unlock(lock) };
        is_as_read
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
    fn range(&self) -> Range {
        RANGES.get(F::RANGE).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn slot(&self, first_chunk: u32, slot: u32) -> Option<u32> {
        let chunk = SLOTS.get_ptr(first_chunk.wrapping_add(slot / CHUNK_SLOTS))?;
        let index = (slot % CHUNK_SLOTS) as usize;
        // SAFETY: the index is less than the slots of a chunk.
        let at = unsafe { chunk.cast::<u32>().add(index) };
        // SAFETY: an aligned word of a map value; chunks in use are never overwritten.
        Some(unsafe { at.read() })
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
            Stage::HalfOpen => F::half_opens().insert(key, flow, NOEXIST),
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
            Stage::HalfOpen => F::half_reverses().insert(key, reverse, NOEXIST),
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
    fn fragment(&self, key: &FragmentKey<F::Address>, into: &mut Fragment) -> Found<()> {
        const WORDS: usize = words::<Fragment>();
        let look = || F::fragments().get_ptr_mut(key);
        let found = whole::<_, WORDS>(look, fingerprint(key), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn learn_fragment(&mut self, key: &FragmentKey<F::Address>, fragment: &Fragment) {
        // Where the kernel finds no room, the later fragments are dropped, and counted.
        let _ = F::fragments().insert(key, fragment, ANY);
    }

    #[inline(always)]
    fn forget_fragment(&mut self, key: &FragmentKey<F::Address>) {
        // As with flows.
        let _ = F::fragments().remove(key);
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

/// Where a word of the account is.
#[inline(always)]
fn account_word(account: *mut Account, word: Word) -> *mut u64 {
    let offset = match word {
        Word::PaidUntil => offset_of!(Account, paid_until_ns),
        Word::Owed => offset_of!(Account, owed),
    };
    account.wrapping_byte_add(offset).cast()
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

/// Words of a value.
const fn words<V>() -> usize {
    size_of::<V>() / 8
}
