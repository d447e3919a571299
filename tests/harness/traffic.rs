// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real traffic with a ledger: every flow has an id and numbered messages, servers answer who they
//! are and whom they see, and whatever is not answered rightly within a second has failed.
//!
//! One message is a line `ID NUMBER`, its answer a line `POD CLIENT ID NUMBER`, over TCP and UDP
//! alike. This knows nothing of Services: a target is an address.

mod load;
mod client;
mod server;

pub use client::{Answer, Connection, Protocol};
pub use load::{Burst, Load, Report, Route, burst};
pub use server::{HANG_UP, Server};
