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
        let mut rest = text;
        let mut ns = 0_u64;
        if rest.is_empty() {
            return Err(BadDuration::Syntax);
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or(BadDuration::Syntax)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let number: u64 = number.parse().or(Err(BadDuration::Syntax))?;
            let part = number
                .checked_mul(unit_ns(unit)?)
                .ok_or(BadDuration::Range)?;
            ns = ns.checked_add(part).ok_or(BadDuration::Range)?;
            rest = tail;
        }
        if ns == 0 || ns > LONGEST_NS {
            return Err(BadDuration::Range);
        }
        Ok(Self { ns })
    }
}

fn unit_ns(unit: &str) -> Result<u64, BadDuration> {
    match unit {
        "h" => Ok(3_600_000_000_000),
        "m" => Ok(60_000_000_000),
        "s" => Ok(1_000_000_000),
        "ms" => Ok(1_000_000),
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
            ("1.5s", Err(BadDuration::Syntax)),
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
    fn durations_are_written_as_they_are_read() {
        for text in ["24h", "1h30m", "3m", "30s", "1s500ms"] {
            assert_eq!(text.parse::<Timeout>().unwrap().to_string(), text);
        }
    }
}
