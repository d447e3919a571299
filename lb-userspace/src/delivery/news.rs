// SPDX-License-Identifier: MIT OR Apache-2.0
//! nftables tells of each change of its rules.

use rtnetlink::sys::{
    AsyncSocket as _, AsyncSocketExt as _, TokioSocket, protocols::NETLINK_NETFILTER,
};
use std::io;

/// `NFNLGRP_NFTABLES` of `uapi/linux/netfilter/nfnetlink.h`.
const GROUP: u32 = 7;

/// A socket that hears of it; none where the kernel has no netfilter, or the socket broke: what it
/// would have told is then met by looking.
pub(super) struct News(Option<TokioSocket>);

impl News {
    pub(super) fn open() -> Self {
        let open = || {
            let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
            socket.socket_mut().bind_auto()?;
            socket.socket_mut().add_membership(GROUP)?;
            Ok::<_, io::Error>(socket)
        };
        Self(open().ok())
    }

    /// Ends when something has changed.
    pub(super) async fn wait(&mut self) {
        let Some(socket) = &self.0 else {
            return std::future::pending().await;
        };
        match socket.recv_from_full().await {
            Ok(_) => {}
            // More than it has room for: that is news as well.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(_) => self.0 = None,
        }
    }
}
