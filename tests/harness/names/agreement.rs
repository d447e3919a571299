// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be true of any query: both that can answer it do, alike or not at all, and within
//! bounds. The datapath suite and the fuzzer ask the same here.

use anyhow::{Context as _, Result, ensure};
use hickory_proto::op::Message;
use lb_userspace::dns::{
    answer::{Reply, Transport, reply},
    foretell,
    zone::Zone,
};
use std::net::SocketAddr;

use super::{answer_at, zone};
use crate::tables::Memory;

/// The most that a datagram of ours has, and what a message can have at all.
const DATAGRAM: usize = 1_232;
const MESSAGE: usize = 65_535;

/// Lets the server do its work once or more often, and returns what it says.
pub type Watch = dyn Fn(&dyn Fn() -> Reply) -> Result<Reply>;

/// A zone, and tables that the kernel's code answers from.
#[derive(Debug)]
pub struct Both {
    zone: Zone,
    memory: Memory,
}

impl Default for Both {
    fn default() -> Self {
        let (zone, mut memory) = (zone(), Memory::default());
        answer_at(&mut memory, &zone, SocketAddr::from(([192, 0, 2, 2], 53)));
        Self { zone, memory }
    }
}

impl Both {
    /// Asks the server's code, over both transports, and the kernel's.
    pub fn ask(&self, query: &[u8]) -> Result<()> {
        self.ask_watched(query, &|server| Ok(server()))
    }

    /// The same, where somebody watches the server at its work, and may object.
    pub fn ask_watched(&self, query: &[u8], watch: &Watch) -> Result<()> {
        let of_server = self.of_server(query, (Transport::Udp, DATAGRAM), watch)?;
        self.of_server(query, (Transport::Tcp, MESSAGE), watch)?;
        let of_kernel = foretell::answer(&self.memory, query);
        ensure!(
            of_kernel.is_none() || of_kernel == of_server,
            "the kernel: {of_kernel:02x?}\nthe server: {of_server:02x?}"
        );
        Ok(())
    }

    /// The server's answer, if it has one of its own.
    fn of_server(
        &self,
        query: &[u8],
        (transport, limit): (Transport, usize),
        watch: &Watch,
    ) -> Result<Option<Vec<u8>>> {
        let answer = match watch(&|| reply(&self.zone, query, transport, true))? {
            Reply::Send(answer) => answer,
            // What is asked of others is answered, too, if nobody is there.
            Reply::Ask(ask) => {
                check(query, &ask.failure(), limit)?;
                return Ok(None);
            }
            Reply::Ignore => return Ok(None),
        };
        check(query, &answer, limit)?;
        Ok(Some(answer))
    }
}

/// Whether it is an answer to this query.
fn check(query: &[u8], answer: &[u8], limit: usize) -> Result<()> {
    ensure!(answer.len() <= limit, "{} bytes", answer.len());
    let message = Message::from_vec(answer).context("the answer is no message")?;
    let id = query.first_chunk().map(|id| u16::from_be_bytes(*id));
    ensure!(id == Some(message.metadata.id), "another id");
    ensure!(
        answer.get(2).is_some_and(|flags| flags & 0x80 != 0),
        "no answer"
    );
    Ok(())
}
