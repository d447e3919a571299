// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whom a flow believes: whoever only guesses its numbers changes nothing, and two real ends end
//! it, whatever is lost or overtaken on their way.

#[path = "numbers/wire.rs"]
mod wire;

use lb_common::conntrack::{NEAR, State, Step, seen, state, step};
use lb_common::parse::{Datagram, flags};
use lb_common::tables::{Side, Touch};
use lb_common::wire::{Flow, Progress, Timeouts, Tuple, protocol};
use proptest::prelude::*;

use Side::{Backend as B, Client as C};
use wire::Wire;

const SYN: u8 = flags::SYN;
const ACK: u8 = flags::ACK;
const FIN: u8 = flags::FIN;
const RST: u8 = flags::RST;
const NOW_NS: u64 = 1_000_000_000_000;

/// A segment with so many bytes of payload.
fn segment(tcp_flags: u8, [sequence, acknowledges]: [u32; 2], payload: u32) -> Datagram<[u8; 4]> {
    let takes = payload + u32::from(tcp_flags & SYN != 0) + u32::from(tcp_flags & FIN != 0);
    Datagram {
        tuple: Tuple {
            source: [10, 0, 0, 1],
            destination: [10, 96, 0, 1],
            source_port: [0x80, 0],
            destination_port: [0, 80],
            protocol: protocol::TCP,
            pad: [0; 3],
        },
        transport_at: 34,
        end: 54,
        tcp_flags,
        is_first: 0,
        identification: [0; 4],
        pad: [0; 2],
        sequence,
        acknowledges,
        next: sequence.wrapping_add(takes),
        pad_numbers: [0; 4],
    }
}

/// What the middle knows.
struct Middle(Flow);

impl Middle {
    /// Of a client that has sent a SYN with this number.
    fn new(sequence: u32) -> Self {
        let progress = Progress {
            next: sequence.wrapping_add(1),
            acknowledged: 0,
        };
        Self(Flow {
            born_ns: NOW_NS,
            expires_ns: NOW_NS + Timeouts::default().half_open_ns,
            client_seen: seen::SYN,
            client_progress: progress.word(),
            ..Flow::default()
        })
    }

    /// Of two ends who have said hello, and where they are.
    fn open(client: u32, backend: u32) -> Self {
        let mut middle = Self::new(client);
        middle.sees(B, &segment(SYN | ACK, [backend, client.wrapping_add(1)], 0));
        let numbers = [client.wrapping_add(1), backend.wrapping_add(1)];
        middle.sees(C, &segment(ACK, numbers, 0));
        assert_eq!(middle.state(), State::Established);
        middle
    }

    fn sees(&mut self, side: Side, segment: &Datagram<[u8; 4]>) -> Step {
        let (flow, mut touch) = (&mut self.0, Touch::default());
        let step = step(
            flow,
            side,
            segment,
            NOW_NS,
            &Timeouts::default(),
            &mut touch,
        );
        if step == Step::Touched {
            flow.expires_ns = touch.expires_ns;
            let (seen, progress) = match side {
                C => (&mut flow.client_seen, &mut flow.client_progress),
                B => (&mut flow.backend_seen, &mut flow.backend_progress),
            };
            (*seen, *progress) = (touch.seen, touch.progress);
        }
        step
    }

    fn state(&self) -> State {
        state(protocol::TCP, self.0.client_seen, self.0.backend_seen)
    }
}

#[test]
fn only_who_has_got_the_backends_syn_completes_the_handshake() {
    for (numbers, completes) in [
        ([101, 501], true),
        // Data may be ahead of the first ACK that we see.
        ([101 + NEAR - 1, 501], true),
        ([101 + NEAR, 501], false),
        ([100, 501], false),
        ([101, 500], false),
        ([101, 502], false),
    ] {
        let mut middle = Middle::new(100);
        middle.sees(B, &segment(SYN | ACK, [500, 101], 0));
        middle.sees(C, &segment(ACK, numbers, 0));
        let is_open = middle.state() == State::Established;
        assert_eq!(is_open, completes, "{numbers:?}");
    }
}

#[test]
fn a_handshake_survives_what_others_put_in() {
    // Each is followed by what the two ends really send.
    for (side, forged) in [
        (C, segment(SYN, [7_000, 0], 0)),
        (B, segment(SYN | ACK, [7_000, 8_000], 0)),
        (B, segment(ACK, [7_000, 8_000], 0)),
    ] {
        let mut middle = Middle::new(100);
        middle.sees(B, &segment(SYN | ACK, [500, 101], 0));
        middle.sees(side, &forged);
        middle.sees(C, &segment(ACK, [101, 501], 0));
        middle.sees(C, &segment(ACK, [101, 501], 10));
        middle.sees(B, &segment(ACK, [501, 111], 20));
        middle.sees(C, &segment(ACK, [111, 521], 0));
        assert_eq!(middle.state(), State::Established, "{forged:?}");
    }
}

#[test]
fn a_half_open_flow_ends_by_who_knows_its_numbers() {
    for (is_answered, side, flags, numbers, ends) in [
        // The backend refuses the SYN, or forgets about it.
        (false, B, RST | ACK, [0, 101], true),
        (false, B, RST | ACK, [0, 102], false),
        (false, B, RST, [501, 0], false),
        (true, B, RST, [501, 0], true),
        (true, B, RST, [502, 0], false),
        // The client knows of no such connection, or has given up.
        (true, C, RST, [101, 0], true),
        (false, C, RST, [101, 0], true),
        (true, C, RST, [102, 0], false),
        (true, C, FIN | ACK, [101, 77], false),
        (true, B, FIN | ACK, [9_999, 9_999], true),
    ] {
        let mut middle = Middle::new(100);
        if is_answered {
            middle.sees(B, &segment(SYN | ACK, [500, 101], 0));
        }
        let step = middle.sees(side, &segment(flags, numbers, 0));
        let row = format!("{is_answered} {side:?} {flags:#x} {numbers:?}");
        assert_eq!(step == Step::Touched, ends, "{row}");
        assert_eq!(
            middle.state() == State::Closed,
            ends && flags & RST != 0,
            "{row}"
        );
    }
}

#[test]
fn a_backend_may_be_done_before_the_handshake_is() {
    // The client's data came with its SYN (RFC 7413).
    for (numbers, ends) in [
        ([501, 111], State::Closed),
        // Whoever guesses; the first of these is no answer to anything.
        ([501, 112], State::HalfOpen),
        ([501 + 2 * NEAR, 111], State::HalfClosed),
    ] {
        let mut middle = Middle::new(110);
        middle.sees(B, &segment(SYN | ACK, [500, 111], 0));
        let answer = segment(FIN | ACK, numbers, 20);
        middle.sees(B, &answer);
        assert_eq!(middle.state(), State::HalfOpen, "{numbers:?}");
        middle.sees(C, &segment(FIN | ACK, [111, answer.next], 0));
        assert_eq!(middle.state(), ends, "{numbers:?}");
    }
}

/// Nothing comes of it; or the flow ends, or this side of it.
const NOTHING: Option<State> = None;
const ALL: Option<State> = Some(State::Closed);
const SIDE: Option<State> = Some(State::HalfClosed);

#[test]
fn the_end_of_an_open_flow_is_exact() {
    // The client has sent up to 1,000, the backend has acknowledged 900; the other way round
    // everything is acknowledged.
    let open = || {
        let mut middle = Middle::open(99, 499);
        middle.sees(C, &segment(ACK, [100, 500], 800));
        middle.sees(B, &segment(ACK, [500, 900], 0));
        middle.sees(C, &segment(ACK, [900, 500], 100));
        middle
    };
    for (side, flags, numbers, ends) in [
        (C, RST, [900, 0], ALL),
        (C, RST, [1_000, 0], ALL),
        (C, RST | ACK, [1_000, 500], ALL),
        (C, RST, [950, 0], NOTHING),
        (C, RST, [899, 0], NOTHING),
        (C, RST, [1_001, 0], NOTHING),
        (C, RST, [0, 0], NOTHING),
        (B, RST, [500, 0], ALL),
        (B, RST, [501, 0], NOTHING),
        (B, RST | ACK, [0, 1_000], NOTHING),
        (C, FIN | ACK, [1_000, 500], SIDE),
        // Something before it was lost on its way here.
        (C, FIN | ACK, [9_000, 500], SIDE),
        (C, FIN | ACK, [1_000, 490], SIDE),
        (C, FIN | ACK, [9_000, 501], NOTHING),
        (C, FIN | ACK, [9_000, 499], NOTHING),
        (C, FIN, [1_000, 500], NOTHING),
        (C, FIN | SYN, [1_000, 500], NOTHING),
        (B, FIN | ACK, [500, 1_000], SIDE),
        (B, FIN | ACK, [600, 950], SIDE),
        (B, FIN | ACK, [600, 1_001], NOTHING),
        (B, FIN | ACK, [600, 899], NOTHING),
    ] {
        let mut middle = open();
        let row = format!("{side:?} {flags:#x} {numbers:?}");
        let step = middle.sees(side, &segment(flags, numbers, 0));
        assert_eq!(step == Step::Unbelieved, ends.is_none(), "{row}");
        let state = ends.unwrap_or(State::Established);
        assert_eq!(middle.state(), state, "{row}");
    }
}

proptest! {
    /// Idle: both ends have acknowledged everything. Then each forged segment needs one number to
    /// the byte, and a reset its only one.
    #[test]
    fn who_guesses_changes_nothing(
        isns in any::<[u32; 2]>(),
        from_client in any::<bool>(),
        forged in proptest::collection::vec((any::<u8>(), any::<[u32; 2]>(), 0_u32..65_000), 1..50),
    ) {
        let [client, backend] = isns;
        let mut middle = Middle::open(client, backend);
        let [client, backend] = isns.map(|isn| isn.wrapping_add(1));
        let (side, exact) = if from_client {
            (C, [client, backend])
        } else {
            (B, [backend, client])
        };
        let before = middle.0;
        for (flags, numbers, payload) in forged {
            prop_assume!(numbers[0] != exact[0] && numbers[1] != exact[1]);
            let step = middle.sees(side, &segment(flags, numbers, payload));
            let ends = flags & (RST | FIN) != 0;
            prop_assert_eq!(step, if ends { Step::Unbelieved } else { Step::Nothing });
            prop_assert_eq!(middle.0, before);
        }
    }

    /// One number right is not enough either, if the other one is far away.
    #[test]
    fn half_a_guess_changes_nothing(
        isns in any::<[u32; 2]>(),
        flags in any::<u8>(),
        number in 0..2_usize,
        far in NEAR + 1..0_u32.wrapping_sub(NEAR),
        payload in 0_u32..65_000,
    ) {
        let mut middle = Middle::open(isns[0], isns[1]);
        let before = middle.0;
        let mut numbers = isns.map(|isn| isn.wrapping_add(1));
        numbers[number] = numbers[number].wrapping_add(far);
        // A reset shows one number only.
        let flags = if number == 0 { flags } else { flags & !RST };
        middle.sees(C, &segment(flags, numbers, payload));
        prop_assert_eq!(middle.0, before);
    }

    /// Two ends who send, lose and repeat, and at last close or reset.
    #[test]
    fn real_ends_end_their_flow(
        isns in any::<[u32; 2]>(),
        sizes in proptest::collection::vec(0_u32..65_000, 1..40),
        chance in proptest::collection::vec(any::<u8>(), 400),
        resets in any::<Option<bool>>(),
    ) {
        let mut wire = Wire::new(isns, chance);
        for (number, size) in sizes.into_iter().enumerate() {
            wire.sends(if number % 3 == 0 { B } else { C }, size);
        }
        match resets {
            Some(client) => wire.resets(if client { C } else { B }),
            None => wire.closes(),
        }
        prop_assert_eq!(wire.middle.state(), State::Closed);
    }
}
