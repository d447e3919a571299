// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long a flow lives, and what its end means.

use crate::{
    connection::Connection,
    play::{Cast, Play, done, play},
};
use lb_common::{
    verdict::Reason::{Forwarded, NotReply, Replied},
    wire::protocol::{TCP, UDP},
};
use tests::packet::{Frame, tcp, udp};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn the_handshake_moves_a_flow_out_of_the_half_open_table() {
    play(|play| {
        let connection = Connection::dial(play);
        assert_eq!(play.flows(), [1, 0]);
        connection.pod_sends(play, Frame::syn_ack);
        assert_eq!(play.flows(), [1, 0], "the backend alone completes nothing");
        connection.client_sends(play, Frame::ack);
        assert_eq!(play.flows(), [0, 1]);
    });
}

#[test]
fn a_client_alone_completes_no_handshake() {
    play(|play| {
        let connection = Connection::dial(play);
        connection.client_sends(play, Frame::ack);
        connection.client_sends(play, |frame| frame.ack().payload(b"data"));
        assert_eq!(play.flows(), [1, 0]);
    });
}

#[test]
fn a_half_open_flow_ends_after_a_minute() {
    play(|play| {
        let connection = Connection::dial(play);
        // The answer is no sign that there is a client.
        play.wait(10);
        connection.pod_sends(play, Frame::syn_ack);
        connection.ends_after(play, 50);
    });
}

#[test]
fn an_established_flow_may_be_silent_for_a_day() {
    play(|play| {
        let connection = Connection::open(play);
        play.wait(DAY - 1);
        connection.client_sends(play, Frame::ack);
        connection.ends_after(play, DAY);
    });
}

#[test]
fn each_side_keeps_a_flow_alive() {
    play(|play| {
        let connection = Connection::open(play);
        for _ in 0..3 {
            play.wait(DAY - 1);
            connection.pod_sends(play, Frame::ack);
        }
        connection.ends_after(play, DAY);
    });
}

#[test]
fn a_half_closed_flow_ends_after_an_hour() {
    play(|play| {
        let connection = Connection::open(play);
        connection.client_sends(play, Frame::fin);
        play.wait(HOUR - 1);
        connection.pod_sends(play, |frame| frame.ack().payload(b"still answering"));
        connection.ends_after(play, HOUR);
    });
    play(|play| {
        let connection = Connection::open(play);
        connection.pod_sends(play, Frame::fin);
        connection.ends_after(play, HOUR);
    });
}

#[test]
fn a_closed_flow_is_a_tombstone_for_a_minute() {
    play(|play| {
        let connection = Connection::open(play);
        connection.pod_sends(play, Frame::fin);
        connection.client_sends(play, Frame::fin);
        connection.ends_after(play, 0);
    });
}

#[test]
fn a_reset_ends_a_flow() {
    play(|play| {
        let connection = Connection::open(play);
        connection.client_sends(play, Frame::rst);
        connection.ends_after(play, 0);
    });
    play(|play| {
        let connection = Connection::dial(play);
        connection.pod_sends(play, |frame| frame.rst().ack());
        connection.ends_after(play, 0);
    });
}

#[test]
fn a_tuple_used_again_gets_a_new_decision() {
    play(|play| {
        let connection = Connection::open(play);
        connection.client_sends(play, Frame::rst);
        let Cast {
            client,
            service,
            pods: [_, b, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[b]);
        // A stray segment of the old connection does not go to the new backend.
        connection.client_sends(play, Frame::ack);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, b).syn());
        assert_eq!(play.flows(), [1, 0], "the old flow is gone");
        play.egress(&tcp(b, client).syn_ack())
            .becomes(Replied, &tcp(service, client).syn_ack());
        play.egress(&tcp(connection.pod, client).ack())
            .stays(NotReply);
    });
}

#[test]
fn a_tuple_used_again_after_its_tombstone_starts_anew() {
    play(|play| {
        let connection = Connection::open(play);
        play.wait(DAY + 61);
        play.service(connection.service, TCP, &[connection.pod]);
        connection.client_sends(play, Frame::syn);
        assert_eq!(play.flows(), [1, 0]);
    });
}

#[test]
fn the_sweep_takes_what_is_over_and_nothing_else() {
    play(|play| {
        let connection = Connection::open(play);
        play.sweep();
        connection.client_sends(play, Frame::rst);
        play.wait(59);
        play.sweep();
        assert_eq!(play.flows(), [0, 1], "a tombstone");
        play.wait(1);
        play.sweep();
        assert_eq!(play.flows(), [0, 0]);
    });
    play(|play| {
        let (question, answer, _) = ask(play);
        play.egress(&answer);
        play.ingress(&question);
        play.wait(300);
        // In the place of the first one, whose entry is still in the queue.
        play.ingress(&question);
        play.egress(&answer);
        play.ingress(&question);
        play.sweep();
        assert_eq!(play.flows(), [0, 1]);
        play.wait(300);
        play.sweep();
        assert_eq!(play.flows(), [0, 0]);
    });
}

#[test]
fn a_syn_within_a_live_flow_changes_nothing() {
    play(|play| {
        let connection = Connection::open(play);
        let Cast {
            service,
            pods: [_, b, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[b]);
        connection.client_sends(play, Frame::syn);
        assert_eq!(play.flows(), [0, 1]);
    });
}

/// A UDP flow to one pod.
fn ask(play: &mut Play<'_>) -> (Frame, Frame, Frame) {
    let Cast {
        client,
        service,
        pods: [a, _, _],
        ..
    } = play.cast;
    play.service(service, UDP, &[a]);
    let question = udp(client, service);
    play.ingress(&question).becomes(Forwarded, &udp(client, a));
    (question, udp(a, client), udp(service, client))
}

#[test]
fn a_question_after_an_answer_moves_a_flow_out_of_the_half_open_table() {
    play(|play| {
        let (question, answer, translated) = ask(play);
        let [a, ..] = play.cast.pods;
        let seen = udp(play.cast.client, a);
        play.ingress(&question).becomes(Forwarded, &seen);
        assert_eq!(play.flows(), [1, 0], "the client alone says nothing");
        play.egress(&answer).becomes(Replied, &translated);
        play.egress(&answer).becomes(Replied, &translated);
        assert_eq!(play.flows(), [1, 0], "it may have been all");
        play.ingress(&question).becomes(Forwarded, &seen);
        assert_eq!(play.flows(), [0, 1]);
        play.egress(&answer).becomes(Replied, &translated);
        play.sweep();
        play.wait(179);
        play.sweep();
        play.ingress(&question).becomes(Forwarded, &seen);
        assert_eq!(play.flows(), [0, 1]);
    });
}

/// The kernel drops one of the two entries of a half-open flow, to make room.
fn drop_reverse(play: &mut Play<'_>) {
    let memory = &mut play.twin.memory;
    memory.v4.flows.half_open.reverse.clear();
    memory.v6.flows.half_open.reverse.clear();
    done(play.twin.copy());
}

#[test]
fn who_asks_again_is_answered_though_the_way_back_was_dropped() {
    play(|play| {
        let (question, answer, translated) = ask(play);
        let seen = udp(play.cast.client, play.cast.pods[0]);
        drop_reverse(play);
        play.egress(&answer).stays(NotReply);
        play.wait(1);
        play.ingress(&question).becomes(Forwarded, &seen);
        play.egress(&answer).becomes(Replied, &translated);
        drop_reverse(play);
        play.ingress(&question).becomes(Forwarded, &seen);
        play.egress(&answer).becomes(Replied, &translated);
        assert_eq!(play.flows(), [0, 1]);
    });
}

#[test]
fn an_unanswered_question_lives_for_half_a_minute() {
    play(|play| {
        let (_, answer, translated) = ask(play);
        play.wait(29);
        play.egress(&answer).becomes(Replied, &translated);
    });
    play(|play| {
        let (_, answer, translated) = ask(play);
        // A late answer is still translated while the tombstone stands, but revives nothing.
        play.wait(30);
        play.egress(&answer).becomes(Replied, &translated);
        play.wait(59);
        play.egress(&answer).becomes(Replied, &translated);
        play.wait(1);
        play.egress(&answer).stays(NotReply);
    });
}

#[test]
fn an_answered_flow_may_be_silent_for_three_minutes() {
    play(|play| {
        let (_, answer, translated) = ask(play);
        play.egress(&answer).becomes(Replied, &translated);
        play.wait(179);
        play.egress(&answer).becomes(Replied, &translated);
        play.wait(180 + 59);
        play.egress(&answer).becomes(Replied, &translated);
        play.wait(1);
        play.egress(&answer).stays(NotReply);
    });
}

#[test]
fn a_datagram_after_the_time_out_is_a_new_flow() {
    play(|play| {
        let (question, _, _) = ask(play);
        let Cast {
            client,
            service,
            pods: [_, b, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[b]);
        play.wait(29);
        play.ingress(&question);
        play.wait(30);
        play.ingress(&question).becomes(Forwarded, &udp(client, b));
        assert_eq!(play.flows(), [1, 0]);
    });
}
