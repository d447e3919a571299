// SPDX-License-Identifier: MIT OR Apache-2.0
//! A TCP connection from its first segment to the last that anybody knows of.

use crate::play::{Cast, Play};
use lb_common::{
    tables::Side,
    verdict::Reason::{self, Forwarded, NotReply, Replied, Reset},
    wire::protocol::TCP,
};
use std::net::SocketAddr;
use tests::packet::{ACKNOWLEDGED, Frame, answers::Reset as Numbers, tcp};

/// A TCP connection, as a row sees it.
pub(crate) struct Connection {
    pub(crate) client: SocketAddr,
    pub(crate) service: SocketAddr,
    pub(crate) pod: SocketAddr,
}

impl Connection {
    /// Sends the client's SYN.
    pub(crate) fn dial(play: &mut Play<'_>) -> Self {
        let Cast {
            client,
            service,
            pods: [pod, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[pod]);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, pod).syn());
        Self {
            client,
            service,
            pod,
        }
    }

    /// Completes the handshake.
    pub(crate) fn open(play: &mut Play<'_>) -> Self {
        let connection = Self::dial(play);
        connection.pod_sends(play, Frame::syn_ack);
        connection.client_sends(play, Frame::ack);
        assert_eq!(play.flows(), [0, 1], "the handshake moves the flow");
        connection
    }

    #[track_caller]
    pub(crate) fn client_sends(&self, play: &mut Play<'_>, segment: impl Fn(Frame) -> Frame) {
        self.sends(play, Side::Client, Forwarded, segment);
    }

    #[track_caller]
    pub(crate) fn pod_sends(&self, play: &mut Play<'_>, segment: impl Fn(Frame) -> Frame) {
        self.sends(play, Side::Backend, Replied, segment);
    }

    /// A segment from a side ends so, and is translated.
    #[track_caller]
    pub(crate) fn sends(
        &self,
        play: &mut Play<'_>,
        side: Side,
        end: Reason,
        segment: impl Fn(Frame) -> Frame,
    ) {
        let Self {
            client,
            service,
            pod,
        } = *self;
        let at = |from, to| segment(tcp(from, to));
        match side {
            Side::Client => play
                .ingress(&at(client, service))
                .becomes(end, &at(client, pod)),
            Side::Backend => play
                .egress(&at(pod, client))
                .becomes(end, &at(service, client)),
        }
    }

    /// Both ends' segments are still translated, and nothing prolongs that.
    pub(crate) fn is_translated(&self, play: &mut Play<'_>) {
        self.client_sends(play, Frame::ack);
        self.pod_sends(play, Frame::ack);
    }

    /// Nothing is known of the connection any more.
    pub(crate) fn is_forgotten(&self, play: &mut Play<'_>) {
        let Self {
            client,
            service,
            pod,
        } = *self;
        play.egress(&tcp(pod, client).ack()).stays(NotReply);
        let segment = tcp(client, service).ack();
        let reset = segment.reset(Numbers::At(ACKNOWLEDGED));
        play.ingress(&segment).answers(Reset, &reset);
    }

    /// The connection ends by itself after so many seconds, and leaves a tombstone.
    pub(crate) fn ends_after(&self, play: &mut Play<'_>, seconds: u64) {
        play.wait(seconds);
        self.is_translated(play);
        play.wait(59);
        self.is_translated(play);
        play.wait(1);
        self.is_forgotten(play);
    }
}
