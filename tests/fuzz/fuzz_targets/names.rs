// SPDX-License-Identifier: MIT OR Apache-2.0
//! From any bytes as a query to an answer: by the server's code and by the kernel's; and that the
//! server's takes no longer, and no more memory, than one query may.
#![no_main]

use anyhow::{Result, ensure};
use lb_userspace::dns::answer::Reply;
use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};
use tests::names::agreement::Both;

/// For one query, where the most that may be asked for are a thousand records: as shipped it is to
/// be one millisecond, and this is compiled to be watched, with all assertions.
const LONGEST: Duration = Duration::from_millis(5);
const MOST: usize = 1 << 20;
/// Others may have had the processor meanwhile.
const TRIES: usize = 10;

static BOTH: LazyLock<Both> = LazyLock::new(Both::default);

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fuzz_target!(|query: &[u8]| {
    if let Err(error) = BOTH.ask_watched(query, &within_bounds) {
        panic!("{error:#}");
    }
});

fn within_bounds(server: &dyn Fn() -> Reply) -> Result<Reply> {
    let mut least = Duration::MAX;
    for _try in 0..TRIES {
        HEAP.reset_peak_usage();
        let (before, begun) = (HEAP.current_usage(), Instant::now());
        let reply = server();
        least = least.min(begun.elapsed());
        let taken = HEAP.peak_usage().saturating_sub(before);
        ensure!(taken <= MOST, "it has allocated {taken} bytes");
        if least <= LONGEST {
            return Ok(reply);
        }
    }
    anyhow::bail!("it has taken {least:?}")
}
