// SPDX-License-Identifier: MIT OR Apache-2.0
//! The watch side from outside: folders that change, an API server that misbehaves. No root.

mod api_server;
mod bed;
mod calls;
mod both;
mod cluster;
mod streams;
mod unreadable;
mod program;
mod http;
mod kubeconfigs;
mod recorded;
mod schedules;
mod seen;
mod standalone;
