// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! What does not depend on the family.

use super::KernelTables;
use crate::{
    clock,
    maps::{ACCOUNT, PASSAGES, POD_LINKS, RESOLVER, TURN, UPLINKS},
    names,
    snapshot::{whole, words},
};
use aya_ebpf::{
    bindings::bpf_spin_lock,
    helpers::generated::{bpf_spin_lock, bpf_spin_unlock},
};
use core::{mem::offset_of, ops::Deref};
use lb_common::{
    tables::{Environment, Found, Word},
    wire::{Account, Labels, NameEntry, Node, Passage, Resolver, Uplink, fingerprint},
};

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
    fn is_uplink(&self, ifindex: u32) -> bool {
        UPLINKS.get_ptr(&ifindex).is_some()
    }

    #[inline(always)]
    fn uplink(&self, ifindex: u32, into: &mut Uplink) -> Found<()> {
        let look = || UPLINKS.get_ptr_mut(&ifindex);
        let found = whole::<_, { words::<Uplink>() }>(look, fingerprint(&ifindex), into);
        Ok(found?.map(|_| ()))
    }

    #[inline(always)]
    fn passage(&self, place: u32) -> Option<impl Deref<Target = Passage> + use<>> {
        let passage = PASSAGES.get_ptr(place)?;
        // SAFETY: this processor's own, which no other program writes until this one has ended.
        Some(unsafe { &*passage })
    }

    #[inline(always)]
    fn remember(&mut self, place: u32, passage: &Passage) {
        if let Some(at) = PASSAGES.get_ptr_mut(place) {
            // SAFETY: as above.
            unsafe { *at = *passage };
        }
    }

    #[inline(always)]
    fn take_turn(&mut self) -> u64 {
        let Some(turn) = TURN.get_ptr_mut(0) else {
            return 0;
        };
        // SAFETY: an aligned word of a map value; two processors that read it at once propose the
        // same port, of which one gets the next.
        let number = unsafe { turn.read_volatile() };
        // SAFETY: as above.
        unsafe { turn.write_volatile(number.wrapping_add(1)) };
        number
    }

    #[inline(always)]
    fn resolver(&self) -> Option<impl Deref<Target = Resolver> + use<>> {
        RESOLVER.get(0)
    }

    #[inline(always)]
    fn resolver_whole(&self, into: &mut Resolver) -> bool {
        names::resolver(into)
    }

    #[inline(always)]
    fn name(&self, key: &Labels, into: &mut NameEntry) -> Found<()> {
        names::find(key, into)
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

/// Where a word of the account is.
#[inline(always)]
fn account_word(account: *mut Account, word: Word) -> *mut u64 {
    let offset = match word {
        Word::PaidUntil => offset_of!(Account, paid_until_ns),
        Word::Owed => offset_of!(Account, owed),
    };
    account.wrapping_byte_add(offset).cast()
}
