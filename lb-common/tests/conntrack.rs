// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of segments and the states that they lead to.

use lb_common::conntrack::{Age, State, Step, age, merge, seen, state, step, timeout_ns};
use lb_common::expiry::{BATCH, pause_ns};
use lb_common::parse::{Datagram, flags};
use lb_common::tables::{Side, Touch};
use lb_common::wire::{Flow, Progress, Round, Timeouts, Tuple, protocol};

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
        end: 54,
        tcp_flags,
        is_first: 0,
        identification: [0; 4],
        pad: [0; 2],
        sequence: 0,
        acknowledges: 0,
        next: 0,
        pad_numbers: [0; 4],
    }
}

/// The same from a side that has sent nothing but its SYN and its FIN.
fn segment(side: Side, protocol: u8, tcp_flags: u8) -> Datagram<[u8; 4]> {
    let [own, other] = match side {
        C => [100, 200],
        B => [200, 100],
    };
    let takes = |flag| u32::from(tcp_flags & flag != 0);
    Datagram {
        sequence: own - takes(SYN),
        acknowledges: other,
        next: own + takes(FIN),
        ..datagram(protocol, tcp_flags)
    }
}

/// What a packet changes in a flow, if it does.
fn touch<A>(
    flow: &Flow,
    side: Side,
    datagram: &Datagram<A>,
    now_ns: u64,
    timeouts: &Timeouts,
) -> Option<Touch> {
    let mut touch = Touch::default();
    let step = step(flow, side, datagram, now_ns, timeouts, &mut touch);
    (step == Step::Touched).then_some(touch)
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
        let segment = segment(side, protocol, tcp_flags);
        if let Some(touch) = touch(&flow, side, &segment, now_ns, &timeouts) {
            flow.expires_ns = touch.expires_ns;
            let (seen, progress) = match side {
                C => (&mut flow.client_seen, &mut flow.client_progress),
                B => (&mut flow.backend_seen, &mut flow.backend_progress),
            };
            (*seen, *progress) = (touch.seen, touch.progress);
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
        "a SYN-ACK that nobody answers",
        tcp,
        &[[(C, SYN)].as_slice(), &[(B, SYN | ACK); 31]].concat(),
        State::HalfOpen,
        30,
    );
    check(
        "a SYN that is repeated",
        tcp,
        &[(C, SYN); 31],
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
        let late = segment(side, protocol::TCP, ACK);
        assert_eq!(touch(&flow, side, &late, now_ns, &timeouts), None);
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
        touch(&flow, C, &datagram(protocol::UDP, 0), soon, &timeouts),
        None
    );
    let later = touch(&flow, C, &datagram(protocol::UDP, 0), now_ns, &timeouts);
    assert_eq!(
        later.map(|touch| touch.expires_ns),
        Some(now_ns + 180 * SECOND)
    );
}

#[test]
fn two_tables_make_one_flow() {
    let timeouts = Timeouts::default();
    let now_ns = 5_000 * SECOND;
    // The seen bits of client and backend, and the end in seconds.
    let flow = |[client_seen, backend_seen]: [u32; 2], ends_s: u64| Flow {
        born_ns: 1,
        born_ns_end: 1,
        client_seen,
        backend_seen,
        expires_ns: ends_s * SECOND,
        ..Flow::default()
    };
    let open = [seen::SYN | seen::ACK, seen::SYN];
    let client_fin = [open[0] | seen::FIN, open[1]];
    let backend_fin = [open[0], open[1] | seen::FIN];
    let closed = [client_fin[0], backend_fin[1]];
    let reset = [open[0] | seen::RST, open[1]];
    for (known, other, merged) in [
        (flow(open, 9_000), flow(open, 9_000), None),
        // Used in the old table, or in the new one.
        (
            flow(open, 9_000),
            flow(open, 9_100),
            Some(flow(open, 9_100)),
        ),
        (flow(open, 9_000), flow(open, 8_900), None),
        // Ended in one of them: the other one's end is too late.
        (
            flow(open, 9_000),
            flow(reset, 5_000),
            Some(flow(reset, 5_000)),
        ),
        (flow(reset, 5_000), flow(open, 9_000), None),
        (
            flow(client_fin, 6_000),
            flow(closed, 5_000),
            Some(flow(closed, 5_000)),
        ),
        // Each has seen one FIN: it has ended now.
        (
            flow(client_fin, 8_600),
            flow(backend_fin, 8_601),
            Some(flow(closed, 5_000)),
        ),
    ] {
        let found = merge(&known, &other, protocol::TCP, now_ns, &timeouts);
        assert_eq!(found, merged, "{known:?} {other:?}");
    }
    let stranger = Flow {
        born_ns: 2,
        ..flow(reset, 5_000)
    };
    let found = merge(
        &flow(open, 9_000),
        &stranger,
        protocol::TCP,
        now_ns,
        &timeouts,
    );
    assert_eq!(found, None, "another flow of that key");
}

#[test]
fn each_side_has_come_as_far_as_either_table_says() {
    let at = |next, acknowledged| Progress { next, acknowledged }.word();
    let flow = |client_progress, backend_progress| Flow {
        born_ns: 1,
        born_ns_end: 1,
        client_progress,
        backend_progress,
        ..Flow::default()
    };
    let known = flow(at(5, 7), at(9, u32::MAX));
    let other = flow(at(6, 7), at(8, 1));
    let merged = merge(&known, &other, protocol::TCP, 0, &Timeouts::default());
    assert_eq!(merged, Some(flow(at(6, 7), at(9, 1))));
}

#[test]
fn the_sweep_hurries_when_many_flows_end() {
    let pause_ms = |kept, ended| {
        pause_ns(&Round {
            first: 0,
            kept,
            ended,
        }) / 1_000_000
    };
    for (kept, ended, ms) in [
        (0, 0, 200),
        (1, 0, 50),
        (0, 1, 50),
        (BATCH, 0, 20),
        (BATCH - 1, 1, 20),
        (BATCH / 4 * 3, BATCH / 4, 1),
        (0, BATCH, 1),
    ] {
        assert_eq!(pause_ms(kept, ended), ms, "{kept} kept, {ended} ended");
    }
}

#[test]
fn a_flow_whose_ends_have_crossed_is_over() {
    let timeouts = Timeouts::default();
    let open = seen::SYN | seen::ACK;
    for (client, backend, is_over) in [
        (seen::FIN, seen::FIN, true),
        (seen::FIN, seen::RST, true),
        (seen::RST, 0, true),
        (seen::FIN, 0, false),
        (0, seen::FIN, false),
        (0, 0, false),
    ] {
        // Each processor has written the time of a flow that is half closed.
        let (flow, now_ns) = after(protocol::TCP, &OPEN);
        let flow = Flow {
            client_seen: open | client,
            backend_seen: seen::SYN | backend,
            expires_ns: now_ns + timeouts.close_wait_ns,
            ..flow
        };
        let expected = if is_over { Age::Tombstone } else { Age::Live };
        assert_eq!(
            age(&flow, now_ns, &timeouts),
            expected,
            "{client} {backend}"
        );
        for side in [C, B] {
            let last = segment(side, protocol::TCP, ACK);
            let mended = touch(&flow, side, &last, now_ns, &timeouts);
            let time = mended.filter(|touch| touch.expires_ns == now_ns);
            assert_eq!(time.is_some(), is_over, "{client} {backend} {side:?}");
        }
    }
}
