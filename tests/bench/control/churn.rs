// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes that do not end: whether the loop keeps up.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    Sizes,
    driver::{Driver, drive},
    maps::Maps,
};
use crate::{
    Bench, ENDPOINTS,
    cluster::Cluster,
    estimate::{Estimate, whole},
    report::{Cell, Report, Section, Table, Target, figure},
};

const PER_SECOND: u32 = 1_000;

/// What was seen at the end of a round.
struct Sample {
    /// Since the first change was due.
    at: Duration,
    /// Changes that were due by then and are not written.
    waiting: u64,
    /// How long the oldest of them had waited, or of those that this round wrote.
    lag: Duration,
}

/// Sends changes at a steady rate and notes how far behind the loop is.
pub(super) fn measure(
    bench: &Bench,
    sizes: Sizes,
    report: &mut Report,
    section: &mut Section,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(sizes.most_asked, ENDPOINTS);
    let name = format!("{PER_SECOND} changes/s among {} Services", sizes.most_asked);
    bench
        .progress
        .now(&format!("control: {name} for {} s", sizes.churn_s));
    let maps = Maps::new(&bench.bpffs, &cluster)?;
    let samples = drive(maps.folder(), async |driver| {
        driver.list(&cluster).await?;
        churn(driver, &mut cluster, sizes.churn_s).await
    })?;
    let growth = growth(&samples);
    if sizes.are_asked() && sizes.churn_s >= 30 {
        let what = "growth of the queue at 1,000 changes/s for 30 s, in changes/s";
        // A thousandth of what comes.
        report.target(Target::at_most("churn", what, (1.0, "changes/s"), growth));
    } else {
        report.absent("churn", "only a full run goes on for 30 s");
    }
    section.tables.push(Table {
        title: format!(
            "{name}: growth of the queue {} changes/s",
            figure(growth.value)
        ),
        columns: [
            "second",
            "waiting, median",
            "waiting, most",
            "lag, median",
            "lag, most",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: seconds(&samples, sizes.churn_s),
    });
    Ok(())
}

async fn churn(
    driver: &Driver<'_>,
    cluster: &mut Cluster,
    seconds: u32,
) -> anyhow::Result<Vec<Sample>> {
    let period = Duration::from_secs(1) / PER_SECOND;
    let changes = seconds * PER_SECOND;
    let told_before = driver.slices_told();
    let mut ticks = interval(period);
    // Whoever is late has kept changes waiting: they are due all the same.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks.tick().await;
    let begin = Instant::now();
    let mut samples = Vec::new();
    let mut sent = 0;
    loop {
        tokio::select! {
            () = driver.round() => {
                let at = begin.elapsed();
                let due = u64::try_from(at.as_nanos() / period.as_nanos())?.min(changes.into());
                let before = samples.last().map_or(0, |(written, _)| *written);
                let written = driver.slices_written().saturating_sub(told_before);
                let oldest = period * u32::try_from(before)?;
                samples.push((written, Sample {
                    at,
                    waiting: due.saturating_sub(written),
                    lag: at.saturating_sub(oldest),
                }));
                if written >= changes.into() {
                    return Ok(samples.into_iter().map(|(_, sample)| sample).collect());
                }
            }
            _ = ticks.tick(), if sent < changes => {
                driver.tell(cluster.replace_pod()).await?;
                sent += 1;
            }
        }
    }
}

/// How many more changes wait after each second: the slope of a line through all samples, and two
/// standard errors of it. Means of 100 ms are one sample, since neighbours depend on each other.
fn growth(samples: &[Sample]) -> Estimate {
    let mut means: Vec<(f64, f64)> = Vec::new();
    for part in
        samples.chunk_by(|one, other| one.at.as_millis() / 100 == other.at.as_millis() / 100)
    {
        let count = whole(part.len());
        let at: f64 = part.iter().map(|sample| sample.at.as_secs_f64()).sum();
        let waiting: f64 = part.iter().map(waiting).sum();
        means.push((at / count, waiting / count));
    }
    let count = whole(means.len());
    let middle_x = means.iter().map(|(x, _)| x).sum::<f64>() / count;
    let middle_y = means.iter().map(|(_, y)| y).sum::<f64>() / count;
    let width: f64 = means.iter().map(|(x, _)| (x - middle_x).powi(2)).sum();
    let products = means.iter().map(|(x, y)| (x - middle_x) * (y - middle_y));
    let slope = products.sum::<f64>() / width;
    let off = means
        .iter()
        .map(|(x, y)| (y - middle_y - slope * (x - middle_x)).powi(2));
    let error = (off.sum::<f64>() / (count - 2.0).max(1.0) / width).sqrt();
    Estimate {
        value: slope,
        low: slope - 2.0 * error,
        high: slope + 2.0 * error,
        count: means.len(),
        rows: 1,
    }
}

fn seconds(samples: &[Sample], seconds: u32) -> Vec<Vec<Cell>> {
    let rows = (0..seconds).map(|second| {
        let of_second: Vec<_> = samples
            .iter()
            .filter(|sample| sample.at.as_secs() == u64::from(second))
            .collect();
        let many = |figure: &dyn Fn(&Sample) -> f64| -> Vec<f64> {
            of_second.iter().map(|sample| figure(sample)).collect()
        };
        let depths = many(&waiting);
        let lags = many(&|sample| sample.lag.as_secs_f64() * 1e3);
        let cell = |samples: &[f64], at| Estimate::quantile(samples, at).value;
        vec![
            Cell::text((second + 1).to_string()),
            Cell::text(figure(cell(&depths, 0.5))),
            Cell::text(figure(cell(&depths, 1.0))),
            Cell::text(format!("{} ms", figure(cell(&lags, 0.5)))),
            Cell::text(format!("{} ms", figure(cell(&lags, 1.0)))),
        ]
    });
    rows.collect()
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "far below 2^52"
)]
fn waiting(sample: &Sample) -> f64 {
    sample.waiting as f64
}
