// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--kernel-dns=shadow`: compares what clients are answered with what the kernel would have
//! answered.
//!
//! An answer repeats its question, so the programs show the agent answers alone, and the agent asks
//! the kernel's own code. What nobody has answered is not compared; nor is what comes while the
//! agent is behind.

use super::{answers::Answers, foretell};
use crate::{
    clock,
    maps::kernel::{KernelNames, KernelOverheard},
};
use hickory_proto::op::Message;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, convert::Infallible, fmt, time::Duration};

/// Between two looks at the ring, and answers that are compared at most each time: so it takes some
/// hundredths of a processor whatever clients do.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 256;
/// What is told changes at most once in so many looks.
const LOOKS_UNTIL_TOLD: u32 = 20;

/// What has come of comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The kernel would have said the same: code and addresses.
    Same,
    /// Something else.
    Different,
    /// Nothing.
    Left,
    /// The answer is cut, or makes no sense.
    Unread,
}

impl Outcome {
    /// Its label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Left => "left",
            Self::Unread => "unread",
        }
    }
}

/// An answer that the kernel's would not have been like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The question: a name and a type.
    pub question: String,
    /// The code that the kernel would have given, and the records' data.
    pub kernel: String,
    /// The same of the answer that came.
    pub server: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            question,
            kernel,
            server,
        } = self;
        write!(
            f,
            "{question} is {server}, and the kernel would say {kernel}"
        )
    }
}

/// How often it came to what, since the agent's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// [`Outcome::Same`].
    pub same: u64,
    /// [`Outcome::Different`].
    pub different: u64,
    /// [`Outcome::Left`].
    pub left: u64,
    /// [`Outcome::Unread`].
    pub unread: u64,
    /// The last that was different.
    pub last: Option<Difference>,
}

/// What compares.
pub struct Shadow {
    overheard: KernelOverheard,
    maps: KernelNames,
    answers: Answers,
    tally: Tally,
}

impl Shadow {
    /// Begins with answers that come from now on: what is in the ring may be as old as the last
    /// agent's death.
    pub fn new(mut overheard: KernelOverheard, maps: KernelNames, answers: Answers) -> Self {
        while overheard.take().is_some() {}
        Self {
            overheard,
            maps,
            answers,
            tally: Tally::default(),
        }
    }

    /// Compares, and reports how often it came to what, when that has changed.
    pub async fn run(mut self, mut report: impl FnMut(&Tally)) -> Infallible {
        report(&self.tally);
        let mut told = self.tally.clone();
        loop {
            for _ in 0..LOOKS_UNTIL_TOLD {
                tokio::time::sleep(LOOK_AGAIN).await;
                self.look();
            }
            if told != self.tally {
                report(&self.tally);
                told.clone_from(&self.tally);
            }
        }
    }

    fn look(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(answer) = self.overheard.take() else {
                return;
            };
            let foretold = query(&answer)
                .map(|query| foretell::answer_of_kernel(&self.maps, &query, clock::monotonic_ns()));
            match foretold.transpose() {
                Ok(foretold) => {
                    let (outcome, difference) = compare(&answer, foretold.flatten().as_deref());
                    self.take(outcome, difference);
                }
                Err(error) => tracing::debug!("an answer is not compared: {error}"),
            }
        }
    }

    fn take(&mut self, outcome: Outcome, difference: Option<Difference>) {
        self.answers.compared(outcome.label());
        let tally = &mut self.tally;
        let count = match outcome {
            Outcome::Same => &mut tally.same,
            Outcome::Different => &mut tally.different,
            Outcome::Left => &mut tally.left,
            Outcome::Unread => &mut tally.unread,
        };
        *count += 1;
        if let Some(difference) = difference {
            // The first, the second, the fourth and so on: a flood of them is a few dozen lines.
            if tally.different.is_power_of_two() {
                tracing::warn!("answers differ ({} so far): {difference}", tally.different);
            }
            tally.last = Some(difference);
        }
    }
}

/// The query that a whole answer is one to: what decides the kernel's answer stands in it.
fn query(answer: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = answer.split_first_chunk::<12>()?;
    let [id_high, id_low, flags, more, count_high, count_low, ..] = *header;
    // RFC 1035, section 4.1.1: QR is set, OPCODE is 0 and TC is not set.
    if flags & 0xfa != 0x80 || [count_high, count_low] != [0, 1] {
        return None;
    }
    let mut end = 0;
    loop {
        match *rest.get(end)? {
            0 => break,
            length @ 1..=63 => end += 1 + usize::from(length),
            _ => return None,
        }
    }
    let question = rest.get(..end + 5)?;
    // RD and CD are the client's.
    let flags = [flags & 0x01, more & 0x10];
    let counts = [0, 1, 0, 0, 0, 0, 0, 0];
    Some([&[id_high, id_low], &flags[..], &counts, question].concat())
}

/// Compares an answer with the kernel's, if that has one.
fn compare(answer: &[u8], foretold: Option<&[u8]>) -> (Outcome, Option<Difference>) {
    let Some((question, server)) = said(answer) else {
        return (Outcome::Unread, None);
    };
    match foretold.map(said) {
        None => (Outcome::Left, None),
        Some(None) => (Outcome::Unread, None),
        Some(Some((_, kernel))) if kernel == server => (Outcome::Same, None),
        Some(Some((_, kernel))) => {
            let difference = Difference {
                question,
                kernel,
                server,
            };
            (Outcome::Different, Some(difference))
        }
    }
}

/// The question of an answer; and its code with the data of all records of the type that was asked
/// for, in one order.
fn said(answer: &[u8]) -> Option<(String, String)> {
    query(answer)?;
    let message = Message::from_vec(answer).ok()?;
    let question = message.queries.first()?;
    let kind = question.query_type;
    let records = message.answers.iter();
    let records = records.filter(|record| record.record_type() == kind);
    let data: BTreeSet<String> = records.map(|record| record.data.to_string()).collect();
    let code = super::client::status(&message);
    let said = data.into_iter().fold(code, |said, one| said + " " + &one);
    Some((format!("{} {kind}", question.name.to_ascii()), said))
}

#[cfg(test)]
mod tests;
