// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request over a connection of its own, as plain as HTTP can be: a client that shares nothing
//! with the one under test.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

use crate::recorded::{Recording, parse_head};

/// Asks, and reads until the server closes the connection.
pub(crate) fn get(server: SocketAddr, uri: &str) -> anyhow::Result<Recording> {
    Request::send(server, uri, None)?.answer()
}

/// The same with a bearer token.
pub(crate) fn get_as(server: SocketAddr, uri: &str, token: &str) -> anyhow::Result<Recording> {
    Request::send(server, uri, Some(token))?.answer()
}

/// A request that is being answered.
pub(crate) struct Request {
    uri: String,
    stream: TcpStream,
    read: Vec<u8>,
}

impl Request {
    pub(crate) fn send(server: SocketAddr, uri: &str, token: Option<&str>) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let token = token.unwrap_or_default();
        write!(
            stream,
            "GET {uri} HTTP/1.1\r\nHost: {server}\r\n{token}Connection: close\r\n\r\n"
        )?;
        Ok(Self {
            uri: uri.to_owned(),
            stream,
            read: Vec::new(),
        })
    }

    /// Reads until the answer has some text.
    pub(crate) fn until(&mut self, text: &str) -> anyhow::Result<()> {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            let mut some = [0; 4_096];
            let count = self.stream.read(&mut some)?;
            anyhow::ensure!(count > 0, "the answer ends without {text}");
            self.read.extend(&some[..count]);
        }
        Ok(())
    }

    /// Reads to the end, wherever that is.
    pub(crate) fn answer(mut self) -> anyhow::Result<Recording> {
        match self.stream.read_to_end(&mut self.read) {
            // Also when the server has gone away.
            Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        let answer = String::from_utf8(self.read)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let head_in_small = head.to_ascii_lowercase();
        let (code, content_type) = parse_head(head)?;
        Ok(Recording {
            uri: self.uri,
            code,
            content_type,
            body: if head_in_small.contains("transfer-encoding: chunked") {
                unchunk(body)?
            } else {
                body.to_owned()
            },
        })
    }
}

fn unchunk(mut rest: &str) -> anyhow::Result<String> {
    let mut body = String::new();
    // One that was cut has no last chunk.
    while !rest.is_empty() {
        let (size, after) = rest.split_once("\r\n").context("no chunk size")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(body);
        }
        let (chunk, after) = after.split_at_checked(size).context("half a chunk")?;
        body.push_str(chunk);
        rest = after.strip_prefix("\r\n").context("no end of a chunk")?;
    }
    Ok(body)
}
