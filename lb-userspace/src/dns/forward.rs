// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions for somebody else: who is asked, and which answers are believed.
//!
//! Each question goes from a port of its own, which the kernel chooses at random, under a random
//! id, and only its own answer counts. Nothing is remembered: what is not kept cannot be poisoned.

use super::{
    answer::{Ask, Transport},
    resolv_conf::ResolvConf,
};
use rustix::rand::{GetRandomFlags, getrandom};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// How long one server is waited for, and how often each is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;

/// The largest answer in a datagram that is taken.
const DATAGRAM: usize = 4_096;

/// Who is asked for names that are not the cluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstreams {
    /// Nobody: such questions are refused.
    Nobody,
    /// These.
    These(Vec<SocketAddr>),
    /// Those of a file in the form of `resolv.conf`, as it is at each moment.
    File(PathBuf),
}

/// The servers, and what is known of the file that names them.
#[derive(Debug)]
pub(super) struct Forwarder {
    upstreams: Upstreams,
    listed: Vec<SocketAddr>,
    read_at: Option<SystemTime>,
}

impl Forwarder {
    pub(super) fn new(upstreams: Upstreams) -> Self {
        Self {
            upstreams,
            listed: Vec::new(),
            read_at: None,
        }
    }

    /// The servers to ask now.
    pub(super) fn servers(&mut self) -> &[SocketAddr] {
        match &self.upstreams {
            Upstreams::Nobody => &[],
            Upstreams::These(servers) => servers,
            Upstreams::File(path) => {
                let modified = std::fs::metadata(path).and_then(|it| it.modified()).ok();
                // A file that is gone, or cannot be read, leaves the last one in force.
                if modified.is_some() && modified != self.read_at {
                    match ResolvConf::read(path) {
                        Ok(conf) => {
                            self.listed = conf.servers;
                            self.read_at = modified;
                        }
                        Err(error) => tracing::debug!("{}: {error}", path.display()),
                    }
                }
                &self.listed
            }
        }
    }
}

/// Asks one after the other until one has an answer, and gives the bytes for the client.
pub(super) async fn ask(ask: &Ask, servers: &[SocketAddr], transport: Transport) -> Vec<u8> {
    let mut last = None;
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        match exchange(&ask.query, *server, transport, PATIENCE).await {
            // SERVFAIL and REFUSED are about that server, not about the name.
            Ok(answer) if matches!(code_of(&answer), 2 | 5) => last = Some(answer),
            Ok(answer) => return ask.complete(&answer),
            Err(error) => tracing::debug!("asking {server}: {error}"),
        }
    }
    last.map_or_else(|| ask.failure(), |answer| ask.complete(&answer))
}

/// Asks one server once, under an id of its own; what is not its answer is not heard.
pub(super) async fn exchange(
    query: &[u8],
    server: SocketAddr,
    transport: Transport,
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let query = with_random_id(query)?;
    let answer = async {
        match transport {
            Transport::Udp => by_datagram(&query, server).await,
            Transport::Tcp => by_connection(&query, server).await,
        }
    };
    let silence = |_elapsed| {
        let said = format!("no answer within {patience:?}");
        io::Error::new(io::ErrorKind::TimedOut, said)
    };
    timeout(patience, answer).await.map_err(silence)?
}

async fn by_datagram(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From now on, only what comes from there is seen.
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if is_answer(query, answer) {
            return Ok(answer.to_vec());
        }
    }
}

async fn by_connection(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(query).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if is_answer(query, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::other("what came back is no answer"))
    }
}

fn with_random_id(query: &[u8]) -> io::Result<Vec<u8>> {
    let mut query = query.to_vec();
    if let Some(id) = query.first_chunk_mut::<2>() {
        getrandom(id, GetRandomFlags::empty())?;
    }
    Ok(query)
}

fn code_of(answer: &[u8]) -> u8 {
    answer.get(3).map_or(0, |flags| flags & 0x0f)
}

/// Whether this is a response, under this query's id, to its question.
fn is_answer(query: &[u8], answer: &[u8]) -> bool {
    let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let question = |message: &[u8]| {
        let end = question_end(message)?;
        Some(message.get(12..end)?.to_ascii_lowercase())
    };
    // FORMERR and such may come without the question.
    let says_no = code_of(answer) != 0 && answer.get(4..6) == Some(&[0, 0]);
    let same = says_no || question(query).is_some_and(|asked| question(answer) == Some(asked));
    is_response && answer.len() >= 12 && answer.get(..2) == query.get(..2) && same
}

/// Where the first question ends; its name is written out, as nothing precedes it.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = 12_usize;
    loop {
        let length = usize::from(*message.get(at)?);
        at = at.checked_add(1)?;
        match length {
            0 => break,
            1..=63 => at = at.checked_add(length)?,
            _ => return None,
        }
    }
    // Type and class.
    at.checked_add(4).filter(|end| *end <= message.len())
}

#[cfg(test)]
mod tests;
