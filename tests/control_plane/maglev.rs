// SPDX-License-Identifier: MIT OR Apache-2.0
//! What slot tables promise: even shares, few moves, and the same table everywhere.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::ensure;
use lb_userspace::plan::{BackendKey, maglev};
use tests::{chance::Chance, figures};

/// Numbers of backends: around powers of two, where slots per backend are fewest, and the ends.
const BACKENDS: &[u16] = &[3, 4, 5, 8, 10, 16, 20, 40, 81, 100, 163, 200, 300];

/// Seeds that a mean is taken over.
const SEEDS: u32 = 200;

#[test]
fn shares_are_even_at_100_slots_per_backend() {
    figures::check("maglev-balance", |run| {
        let mut worst: f64 = 0.0;
        for index in 0..run.size {
            let mut chance = Chance::new(run.seed, index);
            for &count in BACKENDS {
                let backends = backends(count, &mut chance);
                let slots = maglev::slot_count(backends.len());
                let table = maglev::table(seed(&mut chance), &backends, slots);
                worst = worst.max(imbalance(&table, count));
            }
        }
        ensure!(worst <= 1.0, "{worst} % from the even share");
        Ok(vec![("largest imbalance in %", rounded(worst))])
    });
}

#[test]
fn a_backend_that_leaves_moves_few_slots_of_the_others() {
    figures::check("maglev-moves", |run| {
        let mut result = Vec::new();
        for (per_backend, limit, means, maxima) in [
            (100, 3.0, "worst mean in % at 100", "max in % at 100"),
            (1_000, 1.0, "worst mean in % at 1,000", "max in % at 1,000"),
        ] {
            let (mut worst_mean, mut worst): (f64, f64) = (0.0, 0.0);
            for &count in BACKENDS
                .iter()
                .filter(|count| u64::from(**count) <= run.size)
            {
                let (mean, max) = moves(count, per_backend, run.seed);
                println!(
                    "{count} backends, {per_backend} slots each: mean {mean:.2} % max {max:.2} %"
                );
                ensure!(mean <= limit, "{count} backends at {per_backend}: {mean} %");
                worst_mean = worst_mean.max(mean);
                worst = worst.max(max);
            }
            result.push((means, rounded(worst_mean)));
            result.push((maxima, rounded(worst)));
        }
        Ok(result)
    });
}

/// Mean and largest share of the other backends' slots that move when one of `count` leaves.
fn moves(count: u16, per_backend: u32, seed_of_run: u64) -> (f64, f64) {
    let slots = (u32::from(count) * per_backend).next_power_of_two();
    let (mut sum, mut max): (f64, f64) = (0.0, 0.0);
    for index in 0..SEEDS {
        let mut chance = Chance::new(seed_of_run, index.into());
        let seed = seed(&mut chance);
        let before = backends(count, &mut chance);
        let leaver = chance.below(before.len());
        let mut after = before.clone();
        let gone = after.remove(leaver);
        let old = maglev::table(seed, &before, slots);
        let new = maglev::table(seed, &after, slots);
        let (mut others, mut moved) = (0, 0);
        for (old, new) in old.iter().zip(&new) {
            let (old, new) = (before[position(*old)], after[position(*new)]);
            if old != gone {
                others += 1;
                moved += u32::from(old != new);
            }
        }
        let share = 100.0 * f64::from(moved) / f64::from(others);
        sum += share;
        max = max.max(share);
    }
    (sum / f64::from(SEEDS), max)
}

/// The largest distance from the even share, in percent of it.
fn imbalance(table: &[u32], count: u16) -> f64 {
    let mut shares = vec![0_u32; usize::from(count)];
    for backend in table {
        shares[position(*backend)] += 1;
    }
    let slots = u32::try_from(table.len()).map_or(f64::NAN, f64::from);
    let even = slots / f64::from(count);
    let distance = |share: &u32| 100.0 * (f64::from(*share) - even).abs() / even;
    shares.iter().map(distance).fold(0.0, f64::max)
}

/// Sorted and distinct, v4 or v6.
fn backends(count: u16, chance: &mut Chance) -> Vec<BackendKey> {
    let is_v4 = chance.one_in(2);
    let mut keys = BTreeSet::new();
    while keys.len() < usize::from(count) {
        let [.., c, d] = chance.word().to_be_bytes();
        let address = if is_v4 {
            IpAddr::from([10, 244, c, d])
        } else {
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, u16::from(c), u16::from(d)])
        };
        keys.insert(BackendKey {
            address,
            port: 8_080,
            protocol: 6,
        });
    }
    keys.into_iter().collect()
}

fn position(cell: u32) -> usize {
    usize::try_from(cell).expect("a position in memory")
}

fn seed(chance: &mut Chance) -> [u64; 2] {
    [chance.word(), chance.word()]
}

fn rounded(percent: f64) -> serde_json::Value {
    ((percent * 100.0).round() / 100.0).into()
}
