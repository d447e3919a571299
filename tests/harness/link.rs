// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames put on a link as they are, by way of a packet socket (packet(7)).

use anyhow::{Context as _, Result, ensure};
use rustix::net::{
    AddressFamily, SendFlags, SocketType,
    addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
    bind, netdevice, send, socket,
};
use std::os::fd::OwnedFd;

/// A socket bound to one link of the namespace in which it was opened.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens one for a link.
    pub fn open(link: &str) -> Result<Self> {
        let socket = socket(AddressFamily::PACKET, SocketType::RAW, None)
            .context("opening a packet socket; this needs root")?;
        let index = netdevice::name_to_index(&socket, link)
            .with_context(|| format!("looking for link {link}"))?;
        bind(&socket, &LinkAddress::of(index)).with_context(|| format!("binding to {link}"))?;
        Ok(Self(socket))
    }

    /// Sends one frame, from its Ethernet header on.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = send(&self.0, frame, SendFlags::empty()).context("sending a frame")?;
        ensure!(
            sent == frame.len(),
            "{sent} of {} bytes were sent",
            frame.len()
        );
        Ok(())
    }
}

/// `sockaddr_ll` of `uapi/linux/if_packet.h`: family, protocol, index of the link, and what only
/// the kernel fills in. Protocol 0 receives nothing.
struct LinkAddress([u8; 20]);

impl LinkAddress {
    fn of(index: u32) -> Self {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&AddressFamily::PACKET.as_raw().to_ne_bytes());
        bytes[4..8].copy_from_slice(&index.to_ne_bytes());
        Self(bytes)
    }
}

// SAFETY: the pointer is to the bytes of a `sockaddr_ll`, with their own number, and they outlive
// the call. The kernel copies them and asks for no alignment.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        call(self.0.as_ptr().cast(), 20)
    }
}
