// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Empty: makes the crate a build dependency of `lb-userspace`, so that a change here rebuilds the
//! object. The programs are in `main.rs`.
#![no_std]
