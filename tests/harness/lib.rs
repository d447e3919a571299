// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the three suites share. `tests/README.md` says which suite a new test belongs to.

pub mod api_server;
pub mod api_objects;
pub mod asker;
pub mod rewinder;
pub mod backlog;
pub mod chance;
pub mod control;
pub mod early;
pub mod empty;
pub mod figures;
pub mod guest;
pub mod kernel;
mod hook;
pub mod names;
pub mod link;
pub mod netns;
pub mod foreign;
pub mod road;
pub mod observer;
pub mod packet;
pub mod script;
pub mod source;
pub mod tables;
pub mod traffic;
pub mod verifier;
pub mod wait;
pub mod openmetrics;
pub mod rights;
pub mod weiche;
