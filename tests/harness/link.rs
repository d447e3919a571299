// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames put on a link and taken from one as they are, by way of packet sockets (packet(7)).

use anyhow::{Context as _, Result, ensure};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType,
        addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
        bind, netdevice, recv, send, sendmmsg, socket, sockopt,
    },
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
};

/// A socket bound to one link of the namespace in which it was opened.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

/// What stands before each frame where offloads may have left work undone: `virtio_net_hdr` of
/// `uapi/linux/virtio_net.h`, in which whoever takes a frame learns what is left to do, and whoever
/// sends one on says it.
pub const UNDONE_LENGTH: usize = 10;

/// Room for frames that wait to be taken. Those that find none are lost.
const ROOM: usize = 32 << 20;

impl PacketSocket {
    /// Opens one for a link, to send whole frames.
    pub fn open(link: &str) -> Result<Self> {
        let socket = unbound()?;
        bind_to(&socket, link, 0)?;
        Ok(Self(socket))
    }

    /// Opens one to send frames with [`UNDONE_LENGTH`] bytes before them.
    pub fn open_undone(link: &str) -> Result<Self> {
        let socket = unbound()?;
        prefix_undone(&socket)?;
        bind_to(&socket, link, 0)?;
        Ok(Self(socket))
    }

    /// Opens one to take all frames of a link, with [`UNDONE_LENGTH`] bytes before them.
    pub fn tap_undone(link: &str) -> Result<Self> {
        let socket = unbound()?;
        prefix_undone(&socket)?;
        sockopt::set_socket_recv_buffer_size_force(&socket, ROOM)?;
        let all = u16::try_from(libc::ETH_P_ALL)?;
        bind_to(&socket, link, all)?;
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

    /// Sends frames in as few system calls as there can be.
    pub fn send_all(&self, frames: &[Vec<u8>]) -> Result<()> {
        let slices: Vec<[IoSlice<'_>; 1]> =
            frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
        let mut nothing: Vec<SendAncillaryBuffer<'_, '_, '_>> = frames
            .iter()
            .map(|_| SendAncillaryBuffer::default())
            .collect();
        let messages = slices.iter().zip(&mut nothing);
        let mut messages: Vec<MMsgHdr<'_>> = messages
            .map(|(slice, nothing)| MMsgHdr::new(slice, nothing))
            .collect();
        let mut rest = messages.as_mut_slice();
        while !rest.is_empty() {
            let sent = sendmmsg(&self.0, rest, SendFlags::empty()).context("sending frames")?;
            rest = rest.get_mut(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes the next frame, if there is one; the result is its length.
    pub fn take(&self, into: &mut [u8]) -> Result<Option<usize>> {
        match recv(&self.0, into, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((taken, whole)) => {
                ensure!(taken == whole, "a frame of {whole} bytes is too long");
                Ok(Some(taken))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error).context("taking a frame"),
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The number of a link in the namespace that we are in.
pub fn index(link: &str) -> Result<u32> {
    index_by(&unbound()?, link)
}

fn index_by(socket: &OwnedFd, link: &str) -> Result<u32> {
    netdevice::name_to_index(socket, link).with_context(|| format!("looking for link {link}"))
}

/// One that gets nothing yet.
fn unbound() -> Result<OwnedFd> {
    socket(AddressFamily::PACKET, SocketType::RAW, None)
        .context("opening a packet socket; this needs root")
}

fn bind_to(socket: &OwnedFd, link: &str, protocol: u16) -> Result<()> {
    let address = LinkAddress::of(index_by(socket, link)?, protocol);
    bind(socket, &address).with_context(|| format!("binding to {link}"))
}

/// Has the kernel read and write what offloads have left undone, before each frame.
fn prefix_undone(socket: &OwnedFd) -> Result<()> {
    let on = 1_i32;
    let length = libc::socklen_t::try_from(size_of_val(&on))?;
    let value = (&raw const on).cast();
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_VNET_HDR);
    // SAFETY: the kernel reads as many bytes as the number has, which is alive.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    ensure!(
        result == 0,
        "PACKET_VNET_HDR: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

/// `sockaddr_ll` of `uapi/linux/if_packet.h`: family, protocol, index of the link, and what only
/// the kernel fills in. Protocol 0 receives nothing.
struct LinkAddress([u8; 20]);

impl LinkAddress {
    fn of(index: u32, protocol: u16) -> Self {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&AddressFamily::PACKET.as_raw().to_ne_bytes());
        bytes[2..4].copy_from_slice(&protocol.to_be_bytes());
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
