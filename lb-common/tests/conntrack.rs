// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of segments and the states that they lead to.

use lb_common::conntrack::{Age, State, age, due, state, step, timeout_ns};
use lb_common::parse::{Datagram, flags};
use lb_common::tables::Side;
use lb_common::wire::{Flow, Timeouts, Tuple, protocol};

const SECOND: u64 = 1_000_000_000;

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;
const FIN: u8 = flags::FIN;
const RST: u8 = flags::RST;

use Side::{Backend as B, Client as C};

fn datagram(protocol: u8, tcp_flags: u8) -> Datagram<[u8; 4]> {
    let tuple = Tuple {
        source: [10, 0, 0, 1],
        destination: [10, 96, 0, 1],
        source_port: [0x80, 0],
        destination_port: [0, 80],
        protocol,
        pad: [0; 3],
    };
    Datagram {
        tuple,
        transport_at: 34,
        tcp_flags,
        pad: [0; 7],
    }
}

/// A flow after these segments, one a second, and the time then.
fn after(protocol: u8, segments: &[(Side, u8)]) -> (Flow, u64) {
    let timeouts = Timeouts::default();
    let mut now_ns = 1_000 * SECOND;
    let first = timeout_ns(state(protocol, 1, 0), &timeouts);
    let mut flow = Flow {
        born_ns: now_ns,
        expires_ns: now_ns + first,
        ..Flow::default()
    };
    for &(side, tcp_flags) in segments {
        let touch = step(
            &flow,
            side,
            &datagram(protocol, tcp_flags),
            now_ns,
            &timeouts,
        );
        if let Some(touch) = touch {
            flow.expires_ns = touch.expires_ns;
            match touch.side {
                Side::Client => flow.client_seen = touch.seen,
                Side::Backend => flow.backend_seen = touch.seen,
            }
        }
        now_ns += SECOND;
    }
    (flow, now_ns)
}

fn check(what: &str, protocol: u8, segments: &[(Side, u8)], expected: State, silence_s: u64) {
    let (flow, now_ns) = after(protocol, segments);
    let reached = state(protocol, flow.client_seen, flow.backend_seen);
    assert_eq!(reached, expected, "{what}");
    // The last segment came a second ago, and prolonging may be a second late.
    let left_s = flow.expires_ns.saturating_sub(now_ns).div_ceil(SECOND);
    assert!(
        left_s.abs_diff(silence_s) <= 2,
        "{what}: {left_s} s left, not {silence_s} s"
    );
}

/// What a complete handshake takes.
const OPEN: [(Side, u8); 3] = [(C, SYN), (B, SYN | ACK), (C, ACK)];

#[test]
fn tcp_opens() {
    let tcp = protocol::TCP;
    check("a lone SYN", tcp, &[(C, SYN)], State::HalfOpen, 60);
    check(
        "SYN, SYN-ACK",
        tcp,
        &[(C, SYN), (B, SYN | ACK)],
        State::HalfOpen,
        60,
    );
    check("the handshake", tcp, &OPEN, State::Established, 86_400);
    check(
        "an ACK that answers nothing",
        tcp,
        &[(C, SYN), (C, ACK)],
        State::HalfOpen,
        60,
    );
    check(
        "a refused SYN",
        tcp,
        &[(C, SYN), (B, RST | ACK)],
        State::Closed,
        0,
    );
}

#[test]
fn tcp_goes_on_and_closes() {
    let tcp = protocol::TCP;
    let and = |more: &[(Side, u8)]| [&OPEN, more].concat();
    check(
        "data",
        tcp,
        &and(&[(C, ACK), (B, ACK)]),
        State::Established,
        86_400,
    );
    check(
        "the client closes",
        tcp,
        &and(&[(C, FIN | ACK)]),
        State::HalfClosed,
        3_600,
    );
    check(
        "the backend closes",
        tcp,
        &and(&[(B, FIN | ACK)]),
        State::HalfClosed,
        3_600,
    );
    check(
        "both close",
        tcp,
        &and(&[(C, FIN | ACK), (B, FIN | ACK)]),
        State::Closed,
        0,
    );
    check(
        "the client resets",
        tcp,
        &and(&[(C, RST)]),
        State::Closed,
        0,
    );
    check(
        "the backend resets",
        tcp,
        &and(&[(B, RST | ACK)]),
        State::Closed,
        0,
    );
    check(
        "a second SYN",
        tcp,
        &and(&[(C, SYN)]),
        State::Established,
        86_400,
    );
}

#[test]
fn udp_states_and_timeouts() {
    check(
        "a question",
        protocol::UDP,
        &[(C, 0)],
        State::Unanswered,
        30,
    );
    check(
        "an answer",
        protocol::UDP,
        &[(C, 0), (B, 0)],
        State::Answered,
        180,
    );
}

#[test]
fn nothing_revives_a_tombstone() {
    let timeouts = Timeouts::default();
    let segments = [(C, SYN), (B, SYN | ACK), (C, ACK), (C, RST)];
    let (flow, now_ns) = after(protocol::TCP, &segments);
    assert_eq!(age(&flow, now_ns, &timeouts), Age::Tombstone);
    for side in [C, B] {
        let late = datagram(protocol::TCP, ACK);
        assert_eq!(step(&flow, side, &late, now_ns, &timeouts), None);
    }
    assert_eq!(age(&flow, now_ns + 58 * SECOND, &timeouts), Age::Tombstone);
    assert_eq!(age(&flow, now_ns + 60 * SECOND, &timeouts), Age::Gone);
}

#[test]
fn most_packets_of_a_busy_flow_write_nothing() {
    let timeouts = Timeouts::default();
    let (flow, now_ns) = after(protocol::UDP, &[(C, 0), (B, 0)]);
    let soon = now_ns - SECOND + 1;
    assert_eq!(
        step(&flow, C, &datagram(protocol::UDP, 0), soon, &timeouts),
        None
    );
    let later = step(&flow, C, &datagram(protocol::UDP, 0), now_ns, &timeouts);
    assert_eq!(
        later.map(|touch| touch.expires_ns),
        Some(now_ns + 180 * SECOND)
    );
}

#[test]
fn the_timer_waits_for_the_end_of_the_tombstone() {
    let timeouts = Timeouts::default();
    let flow = Flow {
        expires_ns: 100 * SECOND,
        ..Flow::default()
    };
    assert_eq!(due(&flow, 90 * SECOND, &timeouts), Some(70 * SECOND));
    assert_eq!(due(&flow, 159 * SECOND, &timeouts), Some(SECOND));
    assert_eq!(due(&flow, 160 * SECOND, &timeouts), None);
    let forever = Flow {
        expires_ns: u64::MAX,
        ..flow
    };
    assert_eq!(due(&forever, 0, &timeouts), Some(u64::MAX));
}
