// SPDX-License-Identifier: MIT OR Apache-2.0
//! Netfilter's list of connections, asked for through ctnetlink
//! (`include/uapi/linux/netfilter/nfnetlink_conntrack.h`). Changes nothing.

use crate::maps::Frontend;
use futures_util::StreamExt as _;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Status, Tuple},
};
use rtnetlink::{
    packet_core::{DefaultNla, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    proto::{ConnectionHandle, new_connection},
    sys::{SocketAddr as NetlinkAddr, protocols::NETLINK_NETFILTER},
};
use rustix::io::Errno;
use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// A connection whose destination netfilter has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Translated {
    /// Who dialled.
    pub client: SocketAddr,
    /// What was dialled.
    pub dialled: Frontend,
    /// Whether the client has gone on after its first packet was answered.
    pub has_gone_on: bool,
}

/// The list cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// No socket.
    #[error("opening a netlink socket to netfilter")]
    Open(#[source] io::Error),
    /// The kernel refused, or the socket broke.
    #[error("reading netfilter's list of connections")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A way to ask.
#[derive(Clone, Debug)]
pub struct Conntrack {
    /// Absent where the kernel has no netfilter to ask, as its module is not loaded.
    netfilter: Option<ConnectionHandle<NetfilterMessage>>,
}

impl Conntrack {
    /// Opens it in this thread's network namespace. Needs a running tokio.
    pub fn open() -> Result<Self, ConntrackError> {
        match new_connection(NETLINK_NETFILTER) {
            Ok((connection, netfilter, _messages)) => {
                tokio::spawn(connection);
                let netfilter = Some(netfilter);
                Ok(Self { netfilter })
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTONOSUPPORT) => {
                Ok(Self { netfilter: None })
            }
            Err(error) => Err(ConntrackError::Open(error)),
        }
    }

    /// All connections whose destination was changed, of both families. A kernel without
    /// conntrack has none.
    pub async fn translated(&self) -> Result<Vec<Translated>, ConntrackError> {
        let read = |cause| ConntrackError::Read(cause);
        let Some(netfilter) = &self.netfilter else {
            return Ok(Vec::new());
        };
        let replies = netfilter.request(request(), NetlinkAddr::new(0, 0));
        let mut replies = replies.map_err(|error| read(error.to_string().into()))?;
        let mut all = Vec::new();
        while let Some(reply) = replies.next().await {
            match reply.payload {
                NetlinkPayload::InnerMessage(message) => all.extend(parse(message)),
                NetlinkPayload::Error(error) if is_absent(&error.to_io()) => break,
                NetlinkPayload::Error(error) => return Err(read(error.to_io().into())),
                _ => {}
            }
        }
        Ok(all)
    }
}

/// What nfnetlink says where the module of ctnetlink is not loaded, as nobody needed it.
fn is_absent(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

fn request() -> NetlinkMessage<NetfilterMessage> {
    /// `CTA_STATUS_MASK`: kernels that know it (since Linux 5.14) leave the other connections out.
    const CTA_STATUS_MASK: u16 = 26;
    let mask = Status::DstNat.bits().to_be_bytes().to_vec();
    let attributes = vec![
        ConntrackAttribute::CtaStatus(Status::DstNat),
        ConntrackAttribute::Other(DefaultNla::new(CTA_STATUS_MASK, mask)),
    ];
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let message = NetfilterMessage::new(header, ConntrackMessage::Get(attributes));
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message
}

fn parse(message: NetfilterMessage) -> Option<Translated> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = message.inner else {
        return None;
    };
    let mut status = Status::empty();
    let mut original = None;
    for attribute in &attributes {
        match attribute {
            ConntrackAttribute::CtaStatus(bits) => status = *bits,
            ConntrackAttribute::CtaTupleOrig(tuple) => original = ends(tuple),
            _ => {}
        }
    }
    let (client, dialled) = original?;
    status.contains(Status::DstNat).then_some(Translated {
        client,
        dialled,
        has_gone_on: status.contains(Status::Assured),
    })
}

/// Source, and what it dialled; `None` for protocols without ports.
fn ends(tuple: &[Tuple]) -> Option<(SocketAddr, Frontend)> {
    let (mut source, mut destination): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut ports, mut protocol) = ([None; 2], None);
    for part in tuple {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(address) => source = Some(*address),
                        IPTuple::DestinationAddress(address) => destination = Some(*address),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(numbers) => {
                for number in numbers {
                    match number {
                        ProtoTuple::Protocol(number) => protocol = Some(u8::from(*number)),
                        ProtoTuple::SourcePort(port) => ports[0] = Some(*port),
                        ProtoTuple::DestinationPort(port) => ports[1] = Some(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let [source_port, port] = ports;
    let dialled = Frontend::new(destination?, port?, protocol?);
    Some((SocketAddr::new(source?, source_port?), dialled))
}
