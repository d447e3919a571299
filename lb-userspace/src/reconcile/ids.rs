// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which 32-bit ids are in use. Knows not what for.

/// Ids below a capacity. 0 is never given out.
///
/// Given out round the clock, so that a freed id rests as long as possible: a reader that is still
/// on its way with it then rather finds nothing than something else.
#[derive(Debug)]
pub(super) struct Ids {
    /// One bit an id; set = in use.
    used: Vec<u64>,
    capacity: u32,
    free: u32,
    next: u32,
}

impl Ids {
    pub(super) fn new(capacity: u32) -> Self {
        let words = usize::try_from(capacity.div_ceil(64)).unwrap_or(0);
        let mut ids = Self {
            used: vec![0; words],
            capacity,
            free: capacity,
            next: 1,
        };
        ids.reserve(0);
        ids
    }

    /// How many are left.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// Takes a certain id; false if it is in use or out of range.
    pub(super) fn reserve(&mut self, id: u32) -> bool {
        let (word, bit) = place(id);
        match self.used.get_mut(word) {
            Some(word) if id < self.capacity && *word & bit == 0 => {
                *word |= bit;
                self.free = self.free.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    /// Takes any id.
    pub(super) fn take(&mut self) -> Option<u32> {
        let id = self.first_free(self.next).or_else(|| self.first_free(0))?;
        self.reserve(id);
        self.next = id.saturating_add(1);
        Some(id)
    }

    /// Frees an id.
    pub(super) fn give_back(&mut self, id: u32) {
        let (word, bit) = place(id);
        if let Some(word) = self.used.get_mut(word)
            && *word & bit != 0
        {
            *word &= !bit;
            self.free = self.free.saturating_add(1);
        }
    }

    fn first_free(&self, from: u32) -> Option<u32> {
        let mut id = from;
        while self.free > 0 && id < self.capacity {
            let (word, bit) = place(id);
            match *self.used.get(word)? {
                u64::MAX => id = (id | 63).saturating_add(1),
                word if word & bit == 0 => return Some(id),
                _ => id = id.saturating_add(1),
            }
        }
        None
    }
}

fn place(id: u32) -> (usize, u64) {
    let word = usize::try_from(id / 64).unwrap_or(usize::MAX);
    (word, 1 << (id % 64))
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn gives_out_each_id_once_and_rests_freed_ones() {
        let mut ids = Ids::new(130);
        assert!(ids.reserve(2), "free");
        assert!(!ids.reserve(2), "taken");
        assert!(!ids.reserve(130), "out of range");
        let given: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(given, [&[1][..], &(3..130).collect::<Vec<_>>()].concat());
        assert_eq!(ids.free(), 0);
        ids.give_back(7);
        ids.give_back(7);
        ids.give_back(5);
        assert_eq!(ids.free(), 2);
        assert_eq!(ids.take(), Some(5));
        ids.give_back(5);
        assert_eq!(ids.take(), Some(7), "5 rests");
        assert_eq!(ids.take(), Some(5));
        assert_eq!(ids.take(), None);
    }
}
