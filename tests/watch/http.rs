// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request over a connection of its own, as plain as HTTP can be: a client that shares nothing
//! with the one under test.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

use crate::recorded::{Recording, parse_head};

/// Asks, and reads until the server closes the connection.
pub(crate) fn get(server: SocketAddr, uri: &str) -> anyhow::Result<Recording> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {uri} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let (code, content_type) = parse_head(head)?;
    Ok(Recording {
        uri: uri.to_owned(),
        code,
        content_type,
        body: if chunked {
            unchunk(body)?
        } else {
            body.to_owned()
        },
    })
}

fn unchunk(mut rest: &str) -> anyhow::Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("no chunk size")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(body);
        }
        let (chunk, after) = after.split_at_checked(size).context("half a chunk")?;
        body.push_str(chunk);
        rest = after.strip_prefix("\r\n").context("no end of a chunk")?;
    }
}
