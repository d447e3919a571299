// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine itself has dropped: all network namespaces share one queue of packets for each
//! processor (`net.core.netdev_max_backlog`), so one test's flood may drop another one's packets.

use std::{fs, num::ParseIntError};

use anyhow::Context as _;

const STATISTICS: &str = "/proc/net/softnet_stat";

/// Packets that found the queue of their processor full, since the machine started.
pub fn dropped() -> anyhow::Result<u64> {
    let text = fs::read_to_string(STATISTICS).context(STATISTICS)?;
    sum(&text).context(STATISTICS)
}

/// A line for each processor; its second number, in hexadecimal digits (`softnet_seq_show`).
fn sum(text: &str) -> Result<u64, ParseIntError> {
    let second = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    let each = text.lines().filter_map(second);
    each.map(|number| u64::from_str_radix(&number, 16)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_all_processors_count() {
        let text = "0000db6a 00000010 00000000\n0000db6a 00000002 00000000\n";
        assert_eq!(sum(text), Ok(18));
        assert!(dropped().is_ok());
    }
}
