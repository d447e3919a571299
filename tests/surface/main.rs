// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people and programs see of Weiche from outside: HTTP, flags, files, `deploy/`. No root.

mod http;
mod deploy;
