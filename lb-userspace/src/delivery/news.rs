// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel tells by itself: each change of nftables' rules, of routes and of the
//! rules that choose among those.

use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, TokioSocket,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};
use std::io;

/// `NFNLGRP_NFTABLES` of `uapi/linux/netfilter/nfnetlink.h`.
const RULES: [u32; 1] = [7];
/// `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV4_RULE`, `RTNLGRP_IPV6_ROUTE`, `RTNLGRP_IPV6_RULE` of
/// `uapi/linux/rtnetlink.h`.
const ROUTES: [u32; 4] = [7, 8, 11, 19];

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Rules of nftables.
    Rules,
    /// Routes, or what chooses among them.
    Routes,
}

/// Sockets that hear of it; none where the kernel has no such part, or the socket broke: what it
/// would have told is then met by looking.
pub(super) struct News {
    rules: Option<TokioSocket>,
    routes: Option<TokioSocket>,
}

impl News {
    pub(super) fn open() -> Self {
        Self {
            rules: open(NETLINK_NETFILTER, &RULES).ok(),
            routes: open(NETLINK_ROUTE, &ROUTES).ok(),
        }
    }

    /// Whether changes of routes are heard of.
    pub(super) fn hears_of_routes(&self) -> bool {
        self.routes.is_some()
    }

    /// Ends when something has changed.
    pub(super) async fn wait(&mut self) -> Topic {
        tokio::select! {
            () = hear(&mut self.rules) => Topic::Rules,
            () = hear(&mut self.routes) => Topic::Routes,
        }
    }
}

fn open(protocol: isize, groups: &[u32]) -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(protocol)?;
    socket.socket_mut().bind_auto()?;
    for group in groups {
        socket.socket_mut().add_membership(*group)?;
    }
    Ok(socket)
}

async fn hear(place: &mut Option<TokioSocket>) {
    let Some(socket) = place else {
        return std::future::pending().await;
    };
    match socket.recv_from_full().await {
        Ok(_) => {}
        // More than it has room for: that is news as well.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
        Err(_) => *place = None,
    }
}
