// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whoever knows a flow's addresses and ports, and no more, changes nothing about it; its own ends
//! still end it. Errors that somebody has made up are with all others, in `related.rs`.

use crate::{connection::Connection, play::play};
use lb_common::{
    conntrack::NEAR,
    tables::Side::{self, Backend, Client},
    verdict::Reason::{Forwarded, Replied, Unbelieved},
};
use tests::packet::{ACKNOWLEDGED, Frame, SEQUENCE, flag};

/// The numbers that both ends go on with, as this side has them.
fn right(side: Side) -> [u32; 2] {
    match side {
        Client => [SEQUENCE, ACKNOWLEDGED],
        Backend => [ACKNOWLEDGED, SEQUENCE],
    }
}

/// How far a guess is from the right number.
const GUESSES: [u32; 8] = [
    1,
    u32::MAX,
    1_448,
    0xffff,
    NEAR,
    0x7fff_ffff,
    0x8000_0000,
    0_u32.wrapping_sub(NEAR),
];

#[test]
fn a_forged_reset_changes_nothing() {
    for side in [Client, Backend] {
        play(|play| {
            let connection = Connection::open(play);
            play.wait(2);
            let before = play.twin.memory.clone();
            let [sequence, acknowledgement] = right(side);
            for off in GUESSES {
                let sequence = sequence.wrapping_add(off);
                for flags in [flag::RST, flag::RST | flag::ACK, flag::RST | flag::FIN] {
                    connection.sends(play, side, Unbelieved, |frame| {
                        frame.flags(flags).numbers(sequence, acknowledgement)
                    });
                }
            }
            assert_eq!(play.twin.memory.v4, before.v4);
            assert_eq!(play.twin.memory.v6, before.v6);
            // An hour later it still goes on.
            play.wait(3_600);
            connection.is_translated(play);
        });
    }
}

#[test]
fn a_forged_fin_changes_nothing() {
    for side in [Client, Backend] {
        play(|play| {
            let connection = Connection::open(play);
            play.wait(2);
            let before = play.twin.memory.clone();
            let [sequence, acknowledgement] = right(side);
            let mut forged = Vec::new();
            for off in GUESSES {
                for other in GUESSES {
                    forged.push([
                        sequence.wrapping_add(off),
                        acknowledgement.wrapping_add(other),
                    ]);
                }
            }
            // One of them right, and the other one far away.
            forged.push([sequence.wrapping_add(NEAR + 1), acknowledgement]);
            forged.push([sequence, acknowledgement.wrapping_add(NEAR + 1)]);
            for [sequence, acknowledgement] in forged {
                connection.sends(play, side, Unbelieved, |frame| {
                    frame.fin().numbers(sequence, acknowledgement)
                });
            }
            // Nobody sends one without ACK, whatever its numbers are.
            connection.sends(play, side, Unbelieved, |frame| frame.flags(flag::FIN));
            assert_eq!(play.twin.memory.v4, before.v4);
            assert_eq!(play.twin.memory.v6, before.v6);
        });
    }
}

#[test]
fn data_out_of_window_changes_nothing_and_lends_no_number() {
    for (side, end) in [(Client, Forwarded), (Backend, Replied)] {
        play(|play| {
            let connection = Connection::open(play);
            let before = play.twin.memory.clone();
            let [sequence, acknowledgement] = right(side);
            for off in GUESSES {
                for other in GUESSES {
                    let forged = [
                        sequence.wrapping_add(off),
                        acknowledgement.wrapping_add(other),
                    ];
                    connection.sends(play, side, end, |frame| {
                        let [sequence, acknowledgement] = forged;
                        let frame = frame.ack().numbers(sequence, acknowledgement);
                        frame.payload(b"GET / HTTP/1.1\r\n")
                    });
                    // Nor do the two together do what one of them cannot.
                    for (side, sequence) in [
                        (side, forged[0].wrapping_add(16)),
                        (opposite(side), forged[1]),
                    ] {
                        connection.sends(play, side, Unbelieved, |frame| {
                            frame.rst().numbers(sequence, 0)
                        });
                    }
                }
            }
            assert_eq!(play.twin.memory.v4, before.v4);
            assert_eq!(play.twin.memory.v6, before.v6);
            connection.sends(play, side, end, Frame::rst);
            connection.ends_after(play, 0);
        });
    }
}

fn opposite(side: Side) -> Side {
    match side {
        Client => Backend,
        Backend => Client,
    }
}

#[test]
fn a_reset_ends_a_flow_while_data_is_under_way() {
    // The data has passed: the reset comes right behind it.
    play(|play| {
        let connection = Connection::open(play);
        connection.client_sends(play, |frame| frame.ack().payload(b"hello"));
        connection.client_sends(play, |frame| frame.rst().numbers(SEQUENCE + 5, 0));
        connection.ends_after(play, 0);
    });
    // The data was lost before: the receiver asks (RFC 5961, section 3.2), and is told.
    play(|play| {
        let connection = Connection::open(play);
        let early = |frame: Frame| frame.rst().numbers(SEQUENCE + 5, 0);
        connection.sends(play, Client, Unbelieved, early);
        connection.pod_sends(play, Frame::ack);
        connection.client_sends(play, Frame::rst);
        connection.ends_after(play, 0);
    });
    // The client has forgotten about it, and says so when it is spoken to.
    play(|play| {
        let connection = Connection::open(play);
        connection.client_sends(play, |frame| frame.ack().payload(b"hello"));
        connection.pod_sends(play, |frame| {
            frame
                .ack()
                .numbers(ACKNOWLEDGED, SEQUENCE + 3)
                .payload(b"hi")
        });
        connection.client_sends(play, |frame| frame.rst().numbers(SEQUENCE + 3, 0));
        connection.ends_after(play, 0);
    });
}

#[test]
fn a_connection_that_has_carried_data_closes() {
    play(|play| {
        let connection = Connection::open(play);
        let (client, pod) = (SEQUENCE, ACKNOWLEDGED);
        connection.client_sends(play, |frame| frame.ack().payload(&[1; 1_000]));
        connection.pod_sends(play, |frame| frame.ack().numbers(pod, client + 1_000));
        // Something of the answer is lost on its way here, and comes again later.
        connection.pod_sends(play, |frame| {
            let frame = frame.ack().numbers(pod + 1_400, client + 1_000);
            frame.payload(&[2; 600])
        });
        connection.pod_sends(play, |frame| {
            frame.fin().numbers(pod + 2_000, client + 1_000)
        });
        connection.client_sends(play, |frame| frame.ack().numbers(client + 1_000, pod));
        connection.pod_sends(play, |frame| {
            let frame = frame.ack().numbers(pod, client + 1_000);
            frame.payload(&[2; 1_400])
        });
        connection.client_sends(play, |frame| {
            frame.fin().numbers(client + 1_000, pod + 2_001)
        });
        connection.ends_after(play, 0);
    });
}

#[test]
fn who_has_not_got_the_backends_syn_completes_no_handshake() {
    play(|play| {
        let connection = Connection::dial(play);
        connection.pod_sends(play, Frame::syn_ack);
        for off in GUESSES {
            let guess = ACKNOWLEDGED.wrapping_add(off);
            connection.client_sends(play, |frame| frame.ack().numbers(SEQUENCE, guess));
        }
        assert_eq!(play.flows(), [1, 0]);
        connection.client_sends(play, Frame::ack);
        assert_eq!(play.flows(), [0, 1]);
    });
}

#[test]
fn a_forged_end_of_a_half_open_flow_changes_nothing() {
    play(|play| {
        let connection = Connection::dial(play);
        let before = play.twin.memory.clone();
        for off in GUESSES {
            let sequence = SEQUENCE.wrapping_add(off);
            connection.sends(play, Client, Unbelieved, |frame| {
                frame.rst().numbers(sequence, 0)
            });
            connection.sends(play, Backend, Unbelieved, |frame| {
                frame.rst().ack().numbers(0, sequence)
            });
            connection.sends(play, Backend, Unbelieved, |frame| {
                frame.rst().numbers(sequence, 0)
            });
        }
        assert_eq!(play.twin.memory.v4, before.v4);
        assert_eq!(play.twin.memory.v6, before.v6);
        connection.pod_sends(play, Frame::syn_ack);
        connection.client_sends(play, Frame::ack);
        assert_eq!(play.flows(), [0, 1]);
    });
    // A client that knows of no such connection says so to the backend's SYN.
    play(|play| {
        let connection = Connection::dial(play);
        connection.pod_sends(play, Frame::syn_ack);
        connection.client_sends(play, Frame::rst);
        connection.ends_after(play, 0);
    });
}
