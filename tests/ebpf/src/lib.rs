// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests' own BPF programs share with the harness, which loads them.
#![cfg_attr(not(test), no_std)]

pub mod fate;
pub mod source;
pub mod asker;
pub mod rewinder;

/// What each of the programs needs besides what it does.
#[macro_export]
macro_rules! program {
    () => {
        /// The verifier refuses a program from which this can be reached, so none can.
        #[cfg(not(test))]
        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
            loop {}
        }

        /// No helper here is for GPL-compatible programs only.
        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 4] = *b"MIT\0";
    };
}

/// Adds one to an element of a map, and says how many there were before. Where two processors count
/// in one element, both may be told the same number.
#[cfg(feature = "kernel")]
#[inline(always)]
pub fn plus_one(at: Option<*mut u64>) -> u64 {
    at.map_or(0, |at| {
        // SAFETY: an element of a map, which stays readable while the program runs.
        let before = unsafe { at.read_volatile() };
        // SAFETY: as above, and writable.
        unsafe { at.write_volatile(before.wrapping_add(1)) };
        before
    })
}
