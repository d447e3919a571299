// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a packet goes where it goes: the packet path's own code, run here on a packet that is made
//! up, over the kernel's maps as they are.
//!
//! Nothing that the packet path writes reaches a map. What it asks and is told is recorded, and
//! the stages are told from that record: they cannot say anything else than what has decided.

mod question;
mod sample;
mod live;
mod record;
mod stages;
mod candidates;
mod outcome;
mod aside;

pub use candidates::Candidate;
pub use question::{BadQuestion, Question, parse_client, parse_dialled};
pub use stages::Stage;

use crate::maps::{
    StoreError,
    kernel::{KernelStore, KernelTables},
};
use lb_common::{
    frame::Frames,
    pipeline,
    verdict::{Reason, Verdict},
};
use live::Live;
use record::Record;
use sample::Sample;
use serde::Serialize;

/// What would become of a packet.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The packet in words.
    pub packet: String,
    /// The stages that it meets, in order.
    pub stages: Vec<Stage>,
    /// Why it ends as it does, as metrics label it.
    pub reason: &'static str,
    /// `passed`, `dropped` or `answered`.
    pub verdict: &'static str,
    /// What the reason means.
    pub meaning: &'static str,
    /// The reason itself.
    #[serde(skip)]
    pub end: Reason,
    /// The frame, and what it becomes.
    #[serde(skip)]
    pub frames: [Vec<u8>; 2],
}

/// The maps that a question is answered from.
pub struct Maps<'a> {
    /// Settings and labels.
    pub store: &'a KernelStore,
    /// All else.
    pub tables: &'a KernelTables,
}

/// Asks the packet path what becomes of a packet that comes now, `CLOCK_MONOTONIC`.
pub fn explain(
    maps: &Maps<'_>,
    question: &Question,
    now_ns: u64,
) -> Result<Explanation, StoreError> {
    let before = question.frame();
    let mut room = sample::room(&before);
    let ifindex = if question.is_from_outside() {
        live::UPLINK
    } else {
        live::EDGE
    };
    let mut sample = Sample::new(&mut room, before.len(), ifindex);
    let mut live = Live::open(maps, now_ns)?;
    let end = pipeline::ingress_and_more(&mut sample, &mut live, &mut Frames::new());
    let is_of_others = sample.is_of_others();
    let after = sample.bytes().to_vec();
    let (node, events) = live.close()?;
    let record = Record {
        question,
        node,
        now_ns,
        events,
        is_of_others,
    };
    let names = stages::Names::read(maps.store)?;
    Ok(Explanation {
        packet: question.to_string(),
        stages: stages::tell(&record, &names, end, &after),
        reason: end.label(),
        verdict: match end.verdict() {
            Verdict::Pass => "passed",
            Verdict::Drop => "dropped",
            Verdict::Answer => "answered",
            Verdict::Deliver => "delivered",
        },
        meaning: end.meaning().trim(),
        end,
        frames: [before, after],
    })
}
