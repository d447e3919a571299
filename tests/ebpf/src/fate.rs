// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of a packet on a bad road: by a seed and the packet's number and by nothing else,
//! so that packets with the same numbers meet the same fate in every run.
//!
//! The program (`road.rs`) and the harness share this; neither packets nor maps are known here.

/// Places in the program's map `SETTINGS`.
pub mod setting {
    /// Where chance begins.
    pub const SEED: u32 = 0;
    /// Of [`SCALE`](super::SCALE) packets, so many are lost.
    pub const LOST: u32 = 1;
    /// So many come twice.
    pub const DOUBLED: u32 = 2;
    /// So many overtake those that are held up.
    pub const OVERTAKING: u32 = 3;
    /// Other than 0: all others are held up on the siding.
    pub const HELD_UP: u32 = 4;
    /// How many places there are.
    pub const PLACES: u32 = 5;
}

/// Places in the program's map `COUNTS`.
pub mod count {
    /// Packets that a fate was drawn for.
    pub const MET: u32 = 0;
    /// Packets that were lost.
    pub const LOST: u32 = 1;
    /// Packets that were sent on twice.
    pub const DOUBLED: u32 = 2;
    /// Packets that were sent on at once while others are held up.
    pub const OVERTOOK: u32 = 3;
    /// Packets, second ones included, that went to the siding.
    pub const HELD_UP: u32 = 4;
    /// How many places there are.
    pub const PLACES: u32 = 5;
}

/// Shares are given in parts of this.
pub const SCALE: u64 = 1_000;

/// How many of [`SCALE`] packets meet with what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Never arrive.
    pub lost: u64,
    /// Of those that are left: arrive twice.
    pub doubled: u64,
    /// Of those that are left: overtake others.
    pub overtaking: u64,
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives.
    Goes {
        /// Two of it do.
        twice: bool,
        /// It is not held up where others are.
        overtaking: bool,
    },
}

/// The fate of a packet by its number.
#[inline(always)]
pub fn fate(seed: u64, number: u64, shares: Shares) -> Fate {
    // Three draws for each packet, so that more losses double no other packets.
    let first = number.wrapping_mul(3);
    let draw = |kind| word(seed, first.wrapping_add(kind)) % SCALE;
    if draw(0) < shares.lost {
        return Fate::Lost;
    }
    Fate::Goes {
        twice: draw(1) < shares.doubled,
        overtaking: draw(2) < shares.overtaking,
    }
}

/// The word at a place of a seed's sequence (`SplitMix64`: Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", 2014). It needs no state, so processors need no lock.
#[inline(always)]
fn word(seed: u64, at: u64) -> u64 {
    let mut word = seed.wrapping_add(at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Fate, Shares, fate, word};

    const SHARES: Shares = Shares {
        lost: 10,
        doubled: 20,
        overtaking: 50,
    };

    #[test]
    fn words_are_those_of_others() {
        // The first ones of seed 1234567, as Rosetta Code lists them (task "Pseudo-random
        // numbers/Splitmix64").
        let words = [0, 1, 2].map(|at| word(1_234_567, at));
        let listed = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(words, listed);
    }

    #[test]
    fn shares_come_out_and_the_seed_decides() {
        for seed in [0, 1, u64::MAX] {
            let [mut lost, mut doubled, mut overtaking] = [0_u32; 3];
            for number in 0..100_000 {
                match fate(seed, number, SHARES) {
                    Fate::Lost => lost += 1,
                    Fate::Goes {
                        twice,
                        overtaking: overtakes,
                    } => {
                        doubled += u32::from(twice);
                        overtaking += u32::from(overtakes);
                    }
                }
            }
            for (what, count, even) in [
                ("lost", lost, 1_000),
                ("doubled", doubled, 1_980),
                ("overtaking", overtaking, 4_950),
            ] {
                // Five standard deviations and more.
                assert!(count.abs_diff(even) < even / 5, "{what}: {count} of {even}");
            }
        }
        let fates = |seed| (0..1_000).map(move |number| fate(seed, number, SHARES));
        assert!(fates(1).eq(fates(1)));
        assert!(!fates(1).eq(fates(2)));
    }

    #[test]
    fn more_losses_change_nobody_else_s_fate() {
        let worse = Shares {
            lost: 500,
            ..SHARES
        };
        for number in 0..10_000 {
            let (now, then) = (fate(7, number, worse), fate(7, number, SHARES));
            assert!(
                now == Fate::Lost || now == then,
                "{number}: {then:?}, {now:?}"
            );
        }
    }
}
