// SPDX-License-Identifier: MIT OR Apache-2.0
//! What does not depend on the family.

use super::Found;
use crate::wire::{Labels, NameEntry, Node, Passage, Resolver, Uplink};
use core::ops::Deref;

/// A word of the account of the node's own answers; see [`crate::wire::Account`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `paid_until_ns`.
    PaidUntil,
    /// `owed`.
    Owed,
}

/// Settings, the account and the clock: what does not depend on the family.
pub trait Environment {
    /// Now, `CLOCK_MONOTONIC` in nanoseconds.
    fn now_ns(&self) -> u64;
    /// The same, some milliseconds late perhaps: to read the clock costs as much as to find a flow,
    /// and what is known lasts for seconds.
    fn about_now_ns(&self) -> u64 {
        self.now_ns()
    }
    /// The node's settings, where they are: a copy would take a fifth of a program's stack.
    fn node(&self) -> impl Deref<Target = Node> + use<Self>;
    /// Whether an interface is the host's end of a pod's link, whose other end is in another
    /// network namespace.
    fn is_pod_link(&self, ifindex: u32) -> bool;
    /// Whether an interface leads to other machines.
    fn is_uplink(&self, _ifindex: u32) -> bool {
        false
    }
    /// Copies what is known of such an interface; what is copied when none is found says nothing.
    fn uplink(&self, _ifindex: u32, _into: &mut Uplink) -> Found<()> {
        Ok(None)
    }
    /// What this processor remembers in a place below [`crate::wire::PASSAGES`], if tables remember
    /// at all.
    fn passage(&self, _place: u32) -> Option<impl Deref<Target = Passage> + use<Self>> {
        None::<&'static Passage>
    }
    /// Remembers something else there.
    fn remember(&mut self, _place: u32, _passage: &Passage) {}
    /// Another number at each call, but where two processors call at once.
    fn take_turn(&mut self) -> u64 {
        0
    }
    /// Where the kernel is asked for names, and where it stands: only single words of it belong
    /// together.
    fn resolver(&self) -> Option<impl Deref<Target = Resolver> + use<Self>> {
        None::<&'static Resolver>
    }
    /// Copies it; whether that is whole.
    #[must_use]
    fn resolver_whole(&self, _into: &mut Resolver) -> bool {
        false
    }
    /// Copies what a name stands for; what is copied when none is found says nothing.
    fn name(&self, _key: &Labels, _into: &mut NameEntry) -> Found<()> {
        Ok(None)
    }
    /// What a word of the account says.
    fn account(&self, word: Word) -> u64;
    /// Gives a word of the account another value; `false` = it says something else by now.
    #[must_use]
    fn settle(&mut self, word: Word, from: u64, to: u64) -> bool;
}
