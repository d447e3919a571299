// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a row of measurements says: a quantile, and between which values it is with 95 %
//! certainty, whatever their distribution; and how long to go on measuring.

use std::time::{Duration, Instant};

use serde::Serialize;

/// A quantile of what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// The quantile of the measurements.
    pub(crate) value: f64,
    /// The true one is hardly below this.
    pub(crate) low: f64,
    /// And hardly above this.
    pub(crate) high: f64,
    /// How many measurements there are.
    pub(crate) count: usize,
    /// How many rows it is made of: what one of them may be off, more may be together.
    #[serde(skip)]
    pub(crate) rows: u8,
}

impl Estimate {
    /// The median.
    pub(crate) fn median(samples: &[f64]) -> Self {
        Self::quantile(samples, 0.5)
    }

    /// Any quantile, `at` from 0 to 1.
    ///
    /// The interval is that of order statistics: how many samples are below the true quantile is
    /// a binomial number. Where there are too few for 95 % (below 6, for the median), it is the
    /// smallest and the largest.
    pub(crate) fn quantile(samples: &[f64], at: f64) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let nth = |rank: usize| sorted.get(rank).copied().unwrap_or(f64::NAN);
        let last = count.saturating_sub(1);
        let (mut below, mut low, mut high) = (0.0, 0, last);
        for rank in 0..count {
            below += binomial(count, rank, at);
            if below <= 0.025 {
                low = rank;
            }
            if below >= 0.975 {
                high = rank;
                break;
            }
        }
        // 11 samples: the sixth. 1,000 samples, 0.99: the 990th.
        let middle = (at * whole(count)).ceil();
        let middle = (0..count).find(|rank| whole(*rank) + 1.0 >= middle);
        Self {
            value: nth(middle.unwrap_or(0)),
            low: nth(low.min(last)),
            high: nth(high.min(last)),
            count,
            rows: 1,
        }
    }

    /// The same in another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            low: self.low * factor,
            high: self.high * factor,
            ..self
        }
    }

    /// What multiple of another one it is: from the one interval's low end by the other's high end
    /// to the other way round.
    pub(crate) fn over(self, other: Self) -> Self {
        Self {
            value: self.value / other.value,
            low: self.low / other.high,
            high: self.high / other.low,
            count: self.count.min(other.count),
            rows: self.rows.saturating_add(other.rows),
        }
    }

    /// Whether the interval is as narrow as that of rows should be, each within 3 % of its value.
    pub(crate) fn is_tight(&self) -> bool {
        let off = (self.high - self.value).max(self.value - self.low);
        self.count >= 6 && off <= 0.03 * f64::from(self.rows) * self.value.abs()
    }
}

/// The chance of just `rank` successes of `count`, each with chance `at`.
fn binomial(count: usize, rank: usize, at: f64) -> f64 {
    let factors = (1..=rank).map(|k| (whole(count - rank + k) / whole(k)).ln());
    let ways: f64 = factors.sum();
    (ways + whole(rank) * at.ln() + whole(count - rank) * (1.0 - at).ln()).exp()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts of samples are far below 2^52"
)]
pub(crate) fn whole(count: usize) -> f64 {
    count as f64
}

/// How long a row is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    limit: Duration,
}

impl Effort {
    pub(crate) fn of_seconds(seconds: u64) -> Self {
        Self {
            limit: Duration::from_secs(seconds),
        }
    }

    /// Measures round after round, at least one, until it says that this is enough or time is up.
    pub(crate) fn rounds(
        self,
        mut is_enough: impl FnMut(usize) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut number = 0;
        while !is_enough(number)? && begin.elapsed() < self.limit {
            number += 1;
        }
        Ok(())
    }

    /// The median, once it is tight or time is up.
    pub(crate) fn median(
        self,
        mut measure: impl FnMut(usize) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Estimate> {
        let mut samples = Vec::new();
        self.rounds(|number| {
            samples.push(measure(number)?);
            Ok(Estimate::median(&samples).is_tight())
        })?;
        Ok(Estimate::median(&samples))
    }
}

/// Time that the rows of a part share: what one leaves is there for those that come after it, and
/// what is made between them takes of it, unless it is said to be beside it.
#[derive(Debug)]
pub(crate) struct Budget {
    begin: Instant,
    limit: Duration,
    rows: u32,
}

impl Budget {
    pub(crate) fn of_seconds(seconds: u64, rows: u32) -> Self {
        Self {
            begin: Instant::now(),
            limit: Duration::from_secs(seconds),
            rows,
        }
    }

    /// Does what takes nothing of it: what is made last may take longest, and the last rows would
    /// have nothing left.
    pub(crate) fn beside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        self.begin += begin.elapsed();
        done
    }

    /// What the next row may take: its share, and no more than it would take by itself.
    pub(crate) fn take(&mut self, alone: Effort) -> Effort {
        let left = self.limit.saturating_sub(self.begin.elapsed());
        let share = left / self.rows.max(1);
        self.rows = self.rows.saturating_sub(1);
        Effort {
            limit: alone.limit.min(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Effort, Estimate};
    use std::time::Duration;

    #[test]
    fn rows_share_what_is_left() {
        let mut budget = Budget::of_seconds(1_000, 2);
        for (alone, least, most) in [(600, 490, 500), (600, 600, 600), (600, 600, 600)] {
            let limit = budget.take(Effort::of_seconds(alone)).limit;
            let range = Duration::from_secs(least)..=Duration::from_secs(most);
            assert!(range.contains(&limit), "{limit:?} is not in {range:?}");
        }
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Ranks of the 95 % interval, as in Conover, Practical Nonparametric Statistics.
        for (count, at, value, low, high) in [
            (1, 0.5, 1.0, 1.0, 1.0),
            (5, 0.5, 3.0, 1.0, 5.0),
            (6, 0.5, 3.0, 1.0, 6.0),
            (11, 0.5, 6.0, 2.0, 10.0),
            (20, 0.5, 10.0, 6.0, 15.0),
            (1_000, 0.5, 500.0, 469.0, 532.0),
            (1_000, 0.99, 990.0, 983.0, 997.0),
        ] {
            let samples: Vec<f64> = (1..=count).map(f64::from).collect();
            let found = Estimate::quantile(&samples, at);
            let found = (found.value, found.low, found.high);
            assert_eq!(found, (value, low, high), "{count} samples, {at}");
        }
    }

    #[test]
    fn few_samples_and_wide_ones_are_not_tight() {
        assert!(!Estimate::median(&[1.0; 5]).is_tight());
        assert!(Estimate::median(&[1.0; 6]).is_tight());
        assert!(!Estimate::median(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.04]).is_tight());
    }
}
