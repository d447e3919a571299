// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many answers the node may give: by number in a time, and by their bytes.
//!
//! Answers cost the node work, and go to whoever a packet names as its source, which need not be
//! who sent it. So they are limited for the node as a whole (RFC 1812, section 4.3.2.8, and
//! RFC 4443, section 2.4 f, ask for such a limit), and together they are never more than some
//! bytes longer than what they answer.

use crate::tables::{Environment, Word};
use crate::wire::Refusals;

/// Bytes by which all answers together may be longer than what they answer. Only ICMP errors about
/// short datagrams are longer at all; some hundred of them are paid in advance.
const CREDIT: u64 = 4_096;

/// Changes that are tried while other processors change the same word.
const TRIES: u8 = 4;

/// Takes an answer's cost from the account; `false` = there is not enough left.
#[inline(always)]
pub fn pay<E: Environment>(
    tables: &mut E,
    refusals: &Refusals,
    now_ns: u64,
    asked: usize,
    answer: usize,
) -> bool {
    let rated = change(tables, Word::PaidUntil, |paid_until_ns| {
        paid(paid_until_ns, refusals, now_ns)
    });
    rated && {
        let mut owes = false;
        let counted = change(tables, Word::Owed, |owed| {
            let (left, grants) = owing(owed, asked, answer);
            owes = !grants;
            Some(left)
        });
        counted && !owes
    }
}

/// Until when the rate is used up by one more answer; none: it is.
///
/// The generic cell rate algorithm (ITU-T I.371): a token bucket in one word.
#[inline(always)]
fn paid(paid_until_ns: u64, refusals: &Refusals, now_ns: u64) -> Option<u64> {
    let has_room = paid_until_ns <= now_ns.saturating_add(refusals.burst_ns);
    let from_ns = paid_until_ns.max(now_ns);
    has_room.then(|| from_ns.saturating_add(refusals.interval_ns))
}

/// What is owed after a packet came, and whether it may be answered: it always pays for itself.
#[inline(always)]
fn owing(owed: u64, asked: usize, answer: usize) -> (u64, bool) {
    let (asked, answer) = (widen(asked), widen(answer));
    let answered = owed.saturating_add(answer).saturating_sub(asked);
    if answered <= CREDIT {
        (answered, true)
    } else {
        (owed.saturating_sub(asked), false)
    }
}

/// Changes a word that other processors may be changing, too; nothing is written where nothing
/// changes.
#[inline(always)]
fn change<E: Environment>(
    tables: &mut E,
    word: Word,
    mut to: impl FnMut(u64) -> Option<u64>,
) -> bool {
    for _ in 0..TRIES {
        let from = tables.account(word);
        match to(from) {
            None => return false,
            Some(to) if to == from || tables.settle(word, from, to) => return true,
            Some(_) => {}
        }
    }
    false
}

/// No packet is longer than 64 KiB.
#[inline(always)]
fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Node;
    use core::ops::Deref;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rate_allows_a_burst_and_then_one_at_a_time() {
        let refusals = Refusals::per_second(10);
        let mut paid_until_ns = 0;
        let mut answers = |now_ns: u64| {
            let mut count = 0;
            while let Some(next) = paid(paid_until_ns, &refusals, now_ns) {
                paid_until_ns = next;
                count += 1;
            }
            count
        };
        // A tenth of a second's worth, and the one that is always there.
        assert_eq!(answers(SECOND), 2);
        assert_eq!(answers(SECOND), 0);
        assert_eq!(answers(SECOND + SECOND / 10), 1);
        assert_eq!(answers(100 * SECOND), 2, "nothing is saved up");
    }

    #[test]
    fn nothing_ends_the_rate_where_there_is_none() {
        let refusals = Refusals::per_second(0);
        assert_eq!(paid(5, &refusals, 5), Some(5));
        assert_eq!(paid(u64::MAX, &refusals, 5), None);
    }

    #[test]
    fn answers_are_never_much_longer_than_what_they_answer() {
        let (mut owed, mut asked, mut answered) = (0, 0, 0);
        for _ in 0..10_000 {
            let (left, grants) = owing(owed, 28, 56);
            owed = left;
            asked += 28;
            answered += if grants { 56 } else { 0 };
            assert!(answered <= asked + CREDIT);
        }
        assert!(answered > asked * 9 / 10, "short ones are answered in turn");
        assert_eq!(owing(owed, 60, 40), (owed - 20, true), "others always are");
    }

    /// An account of which another processor changes a word whenever we want to, so many times.
    struct Contended {
        account: [u64; 2],
        word: Word,
        races: u8,
    }

    struct Settings(Node);

    impl Deref for Settings {
        type Target = Node;

        fn deref(&self) -> &Node {
            &self.0
        }
    }

    impl Contended {
        fn place(&mut self, word: Word) -> &mut u64 {
            let [paid_until_ns, owed] = &mut self.account;
            match word {
                Word::PaidUntil => paid_until_ns,
                Word::Owed => owed,
            }
        }
    }

    impl Environment for Contended {
        fn now_ns(&self) -> u64 {
            SECOND
        }

        fn node(&self) -> impl Deref<Target = Node> + use<> {
            Settings(Node::default())
        }

        fn is_pod_link(&self, _ifindex: u32) -> bool {
            false
        }

        fn account(&self, word: Word) -> u64 {
            let [paid_until_ns, owed] = self.account;
            match word {
                Word::PaidUntil => paid_until_ns,
                Word::Owed => owed,
            }
        }

        fn settle(&mut self, word: Word, from: u64, to: u64) -> bool {
            if word == self.word && self.races > 0 {
                self.races -= 1;
                *self.place(word) += 1;
                return false;
            }
            let place = self.place(word);
            assert_eq!(*place, from, "what was read is what is there");
            *place = to;
            true
        }
    }

    #[test]
    fn whoever_is_always_too_late_to_pay_answers_nothing() {
        for word in [Word::PaidUntil, Word::Owed] {
            for races in 0..=TRIES {
                let mut tables = Contended {
                    account: [0, 0],
                    word,
                    races,
                };
                let refusals = tables.node().refusals;
                let now_ns = tables.now_ns();
                let paid = pay(&mut tables, &refusals, now_ns, 28, 56);
                assert_eq!(paid, races < TRIES, "{word:?}, {races} times too late");
            }
        }
    }
}
