// SPDX-License-Identifier: MIT OR Apache-2.0
//! From any bytes as a query to an answer: by the server's code and by the kernel's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tests::names::agreement::Both;

static BOTH: LazyLock<Both> = LazyLock::new(Both::default);

fuzz_target!(|query: &[u8]| {
    if let Err(error) = BOTH.ask(query) {
        panic!("{error:#}");
    }
});
