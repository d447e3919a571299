// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to parts of the kernel that answer at once, over netlink.

use rtnetlink::sys::{Socket, SocketAddr};
use std::io;

/// A question, without netlink's own header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Which part of the kernel: `NETLINK_*` of `uapi/linux/netlink.h`.
    pub(super) protocol: isize,
    /// What is asked.
    pub(super) kind: u16,
    /// Whether all of them are asked for.
    pub(super) is_dump: bool,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_DUMP`.
const DUMP: u16 = 0x300;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// The bodies of the answers.
pub(super) fn ask(question: Question<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = Socket::new(question.protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&message(question), 0)?;
    let mut answers = Vec::new();
    loop {
        let (bytes, _from) = socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while let Some((kind, body, next)) = split(rest) {
            match kind {
                ERROR => return error(body).map(|()| answers),
                DONE => return Ok(answers),
                _ => answers.push(body.to_vec()),
            }
            rest = next;
        }
        if !question.is_dump || bytes.is_empty() {
            return Ok(answers);
        }
    }
}

/// The attributes behind a header of so many bytes, by their numbers (`struct nlattr`).
pub(super) fn attributes(answer: &[u8], header: usize) -> Vec<(u16, &[u8])> {
    let mut rest = answer.get(header..).unwrap_or_default();
    let mut all = Vec::new();
    while let Some([l0, l1, k0, k1]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(value) = rest.get(4..length) else {
            break;
        };
        all.push((u16::from_ne_bytes([*k0, *k1]) & 0x3fff, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// An attribute as it stands in a question.
pub(super) fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), number.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(question: Question<'_>) -> Vec<u8> {
    let Question {
        kind,
        is_dump,
        body,
        protocol: _,
    } = question;
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let flags = if is_dump { REQUEST | DUMP } else { REQUEST };
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence and sender say nothing on a socket that asks once.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// The first message: its kind and body, and what follows it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [l0, l1, l2, l3, k0, k1] = *bytes.first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
    let body = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes([k0, k1]), body, next))
}

/// What `NLMSG_ERROR` says; 0 = all is well.
fn error(body: &[u8]) -> io::Result<()> {
    let code = body
        .first_chunk()
        .map_or(-1, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(code.wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_are_cut_short_are_no_messages() {
        let question = Question {
            protocol: 0,
            kind: 7,
            is_dump: true,
            body: &attribute(1, &[5, 6]),
        };
        let whole = message(question);
        let (kind, body, next) = split(&whole).unwrap();
        assert_eq!((kind, next), (7, [].as_slice()));
        assert_eq!(attributes(body, 0), [(1, [5, 6].as_slice())]);
        for length in 0..whole.len() {
            assert_eq!(split(&whole[..length]), None, "{length}");
        }
        // An attribute whose length is less than its own header would be met for ever.
        for length in 0_u8..4 {
            assert_eq!(attributes(&[length, 0, 1, 0, 9, 9, 9, 9], 0), []);
        }
    }
}
