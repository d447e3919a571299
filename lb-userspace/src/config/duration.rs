// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time-outs as kube-proxy's flags write them: `24h0m0s`, `1h30m`, `180s`, `500ms`.

use lb_common::wire::Timeouts;
use std::{fmt, str::FromStr};

/// A length of time greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout {
    /// In nanoseconds.
    pub ns: u64,
}

/// Not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// Not numbers with units.
    #[error("write a number and a unit, such as 30s, 10m, 1h30m or 500ms")]
    Syntax,
    /// Nothing, or too much.
    #[error("must be more than 0 and at most 8760h (a year)")]
    Range,
}

/// The longest: a year. It keeps sums of times far from 64 bits.
const LONGEST_NS: u64 = 8_760 * 3_600_000_000_000;

impl FromStr for Timeout {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let ns = sum_ns(text)?;
        if ns == 0 || ns > LONGEST_NS {
            return Err(BadDuration::Range);
        }
        Ok(Self { ns })
    }
}

/// A length of time, or 0, which leaves things as they are: so kube-proxy's flags have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptTimeout(Option<Timeout>);

impl FromStr for KeptTimeout {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        if text == "0" || sum_ns(text) == Ok(0) {
            return Ok(Self(None));
        }
        text.parse().map(|timeout| Self(Some(timeout)))
    }
}

impl KeptTimeout {
    /// Puts the length in place of another one, unless it is 0.
    pub fn replace(self, ns: &mut u64) {
        if let Self(Some(timeout)) = self {
            *ns = timeout.ns;
        }
    }
}

/// Numbers with units, as Go writes them: `1h30m`, `1.5s`.
fn sum_ns(text: &str) -> Result<u64, BadDuration> {
    let mut rest = text;
    let mut ns = 0_u64;
    if rest.is_empty() {
        return Err(BadDuration::Syntax);
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(BadDuration::Syntax)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || !c.is_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit_ns = unit_ns(unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().or(Err(BadDuration::Syntax))?;
        let part = whole.checked_mul(unit_ns).ok_or(BadDuration::Range)?;
        let part = part.checked_add(fraction_ns(fraction, unit_ns)?);
        ns = part
            .and_then(|part| ns.checked_add(part))
            .ok_or(BadDuration::Range)?;
        rest = tail;
    }
    Ok(ns)
}

/// Digits behind the point, each of which is worth a tenth of the one before.
fn fraction_ns(digits: &str, unit_ns: u64) -> Result<u64, BadDuration> {
    let mut worth_ns = unit_ns;
    let mut ns = 0_u64;
    for digit in digits.chars() {
        worth_ns /= 10;
        let digit = digit.to_digit(10).ok_or(BadDuration::Syntax)?;
        ns = ns.saturating_add(worth_ns.saturating_mul(digit.into()));
    }
    Ok(ns)
}

fn unit_ns(unit: &str) -> Result<u64, BadDuration> {
    match unit {
        "h" => Ok(3_600_000_000_000),
        "m" => Ok(60_000_000_000),
        "s" => Ok(1_000_000_000),
        "ms" => Ok(1_000_000),
        "us" | "µs" => Ok(1_000),
        "ns" => Ok(1),
        _ => Err(BadDuration::Syntax),
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.ns;
        for unit in ["h", "m", "s", "ms"] {
            let size = unit_ns(unit).unwrap_or(1);
            let (count, left) = (rest / size, rest % size);
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
            rest = left;
        }
        Ok(())
    }
}

/// All time-outs in one line.
pub(super) fn describe(timeouts: &Timeouts) -> String {
    let of = |ns| Timeout { ns };
    format!(
        "half-open {}, established {}, close-wait {}, UDP {} and {}, tombstone {}",
        of(timeouts.half_open_ns),
        of(timeouts.established_ns),
        of(timeouts.close_wait_ns),
        of(timeouts.udp_unanswered_ns),
        of(timeouts.udp_answered_ns),
        of(timeouts.tombstone_ns),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_kube_proxy_writes_them() {
        const SECOND: u64 = 1_000_000_000;
        for (text, parsed) in [
            ("24h0m0s", Ok(86_400 * SECOND)),
            ("1h30m", Ok(5_400 * SECOND)),
            ("180s", Ok(180 * SECOND)),
            ("1500ms", Ok(SECOND + SECOND / 2)),
            ("", Err(BadDuration::Syntax)),
            ("30", Err(BadDuration::Syntax)),
            ("s", Err(BadDuration::Syntax)),
            ("-1s", Err(BadDuration::Syntax)),
            ("1.5s", Ok(SECOND + SECOND / 2)),
            ("0.25h", Ok(900 * SECOND)),
            ("1.s", Ok(SECOND)),
            (".5s", Err(BadDuration::Syntax)),
            ("1.2.3s", Err(BadDuration::Syntax)),
            ("250us", Ok(250_000)),
            ("3 s", Err(BadDuration::Syntax)),
            ("2d", Err(BadDuration::Syntax)),
            ("0s", Err(BadDuration::Range)),
            ("8761h", Err(BadDuration::Range)),
            ("99999999999999999h", Err(BadDuration::Range)),
        ] {
            let found = text.parse::<Timeout>().map(|timeout| timeout.ns);
            assert_eq!(found, parsed, "{text}");
        }
    }

    #[test]
    fn zero_leaves_things_as_they_are() {
        for (text, left) in [
            ("0", Ok(7)),
            ("0s", Ok(7)),
            ("0h0m0s", Ok(7)),
            ("1ns", Ok(1)),
            ("", Err(BadDuration::Syntax)),
            ("5", Err(BadDuration::Syntax)),
            ("9999h", Err(BadDuration::Range)),
        ] {
            let mut ns = 7;
            let read = text.parse::<KeptTimeout>();
            let found = read.map(|timeout| {
                timeout.replace(&mut ns);
                ns
            });
            assert_eq!(found, left, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["24h", "1h30m", "3m", "30s", "1s500ms"] {
            assert_eq!(text.parse::<Timeout>().unwrap().to_string(), text);
        }
    }
}
