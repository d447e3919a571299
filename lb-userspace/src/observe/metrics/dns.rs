// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has answered questions for names: the server counts itself, the kernel by packets.

use super::{Metrics, PacketCount};
use crate::dns::Answers;
use lb_common::verdict::Reason;

/// How the kernel's answers end as packets, and the code in them.
const OF_KERNEL: [(&str, &[Reason]); 2] = [
    ("noerror", &[Reason::NameFound, Reason::NameEmpty]),
    ("nxdomain", &[Reason::NameUnknown]),
];

impl Metrics {
    /// Where whoever answers counts.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Takes in the kernel's answers among all packets.
    pub(super) fn kernel_answers(&self, packets: &[PacketCount]) {
        for (code, reasons) in OF_KERNEL {
            let is_one =
                |count: &&PacketCount| reasons.iter().any(|reason| reason.label() == count.reason);
            let answers = packets.iter().filter(is_one);
            let total = answers.map(|count| count.packets).sum();
            self.answers.of_kernel(code, total);
        }
    }
}
