// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chance from a seed: the same seed makes the same choices.

use lb_common::hash::hash;
use std::ops::Range;

/// A stream of choices.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: [u64; 2],
    step: u64,
}

impl Chance {
    /// The stream of a seed; `stream` tells several of one seed apart.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self {
            seed: [seed, stream],
            step: 0,
        }
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.step = self.step.wrapping_add(1);
        hash(self.seed, &[self.step])
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        let number = self.word().checked_rem(bound).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }

    /// A number in a range; its start if it is empty.
    pub fn between(&mut self, range: Range<u64>) -> u64 {
        let span = range.end.saturating_sub(range.start);
        range.start + self.word().checked_rem(span).unwrap_or(0)
    }

    /// 8 bits.
    pub fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }

    /// 16 bits.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// True once in `bound` times.
    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// One of some.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn pick<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        let index = self.below(some.len());
        some.get(index).expect("there is one to pick")
    }

    /// Brings some into any order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, some: &mut [T]) {
        for last in (1..some.len()).rev() {
            let other = self.below(last.saturating_add(1));
            some.swap(last, other);
        }
    }
}
