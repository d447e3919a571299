// SPDX-License-Identifier: MIT OR Apache-2.0
//! From any bytes as a query to an answer: by the server's code and by the kernel's; and that the
//! server's takes no longer, and no more memory, than one query may.
#![no_main]

use anyhow::{Result, ensure};
use lb_userspace::dns::answer::Reply;
use libfuzzer_sys::{Corpus, fuzz_target};
use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tests::names::{Query, agreement::Both};

/// How many times as long as the dearest question that we know of any query may take: what that one
/// takes as shipped, where nobody watches each branch, is a row of `cargo xtask bench dns`.
const TIMES: u32 = 2;
const MOST: usize = 1 << 20;
/// A query with more bytes of answer is judged like any other, and not bent further: it takes as
/// long as hundreds of others, which a run has no time for then.
const SEEDS: usize = 1 << 14;
/// Caches may have been others' meanwhile.
const TRIES: usize = 20;

static BOTH: LazyLock<Both> = LazyLock::new(Both::default);
static LONGEST: LazyLock<Duration> = LazyLock::new(|| {
    // Of a crowd, as those of the corpus: a thousand ports, and as many names.
    let query = Query::of("_sql._tcp.crowd.default.svc.cluster.local", 33).bytes();
    let times = (0..TRIES).map(|_try| BOTH.ask_watched(&query, &timed));
    // The last way that is asked is by TCP, where nearly all of them fit.
    let times = times.map(|asked| asked.map(|()| TAKEN_NS.load(Relaxed)));
    let least = times.filter_map(Result::ok).min();
    let least = Duration::from_nanos(least.expect("the question is answered"));
    TIMES * least
});
/// What [`timed`] has seen last.
static TAKEN_NS: AtomicU64 = AtomicU64::new(0);
/// How long the answer was that [`within_bounds`] has seen last; 0: there was none of ours.
static ANSWERED_BYTES: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fuzz_target!(|query: &[u8]| -> Corpus {
    if let Err(error) = BOTH.ask_watched(query, &within_bounds) {
        panic!("{error:#}");
    }
    // The last way that is asked is by TCP, where answers are longest.
    if ANSWERED_BYTES.load(Relaxed) > SEEDS {
        Corpus::Reject
    } else {
        Corpus::Keep
    }
});

fn timed(server: &dyn Fn() -> Reply) -> Result<Reply> {
    let begun = used()?;
    let reply = server();
    TAKEN_NS.store(u64::try_from((used()? - begun).as_nanos())?, Relaxed);
    Ok(reply)
}

/// How long this thread has had a processor: others may want it as well.
fn used() -> Result<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Ok(time.try_into()?)
}

fn within_bounds(server: &dyn Fn() -> Reply) -> Result<Reply> {
    let mut least = Duration::MAX;
    for _try in 0..TRIES {
        HEAP.reset_peak_usage();
        let (before, begun) = (HEAP.current_usage(), used()?);
        let reply = server();
        least = least.min(used()? - begun);
        let taken = HEAP.peak_usage().saturating_sub(before);
        ensure!(taken <= MOST, "it has allocated {taken} bytes");
        if least <= *LONGEST {
            let bytes = match &reply {
                Reply::Send(answer) => answer.len(),
                Reply::Ask(_) | Reply::Ignore => 0,
            };
            ANSWERED_BYTES.store(bytes, Relaxed);
            return Ok(reply);
        }
    }
    anyhow::bail!("it has taken {least:?}, and may take {:?}", *LONGEST)
}
