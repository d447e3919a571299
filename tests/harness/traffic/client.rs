// SPDX-License-Identifier: MIT OR Apache-2.0
//! One flow as its client sees it.

use std::{future::Future, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream, UdpSocket},
};

/// Longer than this without an answer is a failure. What is lost is never answered, so the guests
/// of the kernel matrix, which stand still for seconds while the host is busy, may take longer.
fn stall() -> Duration {
    let is_emulated = crate::guest::is_emulated();
    Duration::from_secs(if is_emulated { 10 } else { 1 })
}

/// What a flow runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Who answered, and whom they saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the pod that answered.
    pub pod: String,
    /// The client's address as the pod saw it.
    pub client: SocketAddr,
}

/// An open flow.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    id: u64,
    sent: u64,
    pod: Option<String>,
}

#[derive(Debug)]
enum Socket {
    Tcp(BufReader<TcpStream>),
    Udp(UdpSocket),
}

impl Connection {
    /// Opens flow `id` from an address (port 0: any) to a target.
    pub async fn open(
        protocol: Protocol,
        from: SocketAddr,
        target: SocketAddr,
        id: u64,
    ) -> anyhow::Result<Self> {
        let socket = match protocol {
            Protocol::Tcp => {
                let socket = match target {
                    SocketAddr::V4(_) => TcpSocket::new_v4()?,
                    SocketAddr::V6(_) => TcpSocket::new_v6()?,
                };
                // To choose a port before it knows the target, the kernel would have to look for
                // one that nobody uses to any target: slow, when thousands wait in TIME_WAIT.
                if from.port() != 0 {
                    socket.set_reuseaddr(true)?;
                    let bound = socket.bind(from);
                    bound.with_context(|| format!("binding to {from}"))?;
                }
                let stream = in_time("connecting", socket.connect(target)).await?;
                stream.set_nodelay(true)?;
                Socket::Tcp(BufReader::new(stream))
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(from).await;
                let socket = socket.with_context(|| format!("binding to {from}"))?;
                // Answers from any other address are then no answers.
                socket.connect(target).await.context("connecting")?;
                Socket::Udp(socket)
            }
        };
        Ok(Self {
            socket,
            id,
            sent: 0,
            pod: None,
        })
    }

    /// Sends the next message and checks its answer: the right flow and number, from the pod that
    /// answered before.
    pub async fn exchange(&mut self) -> anyhow::Result<Answer> {
        self.sent += 1;
        let message = format!("{} {}", self.id, self.sent);
        let line = self.socket.exchange(&message).await?;
        let line = line.trim();
        let (pod, rest) = line.split_once(' ').context("an empty answer")?;
        let (client, echoed) = rest.split_once(' ').context("a short answer")?;
        ensure!(echoed == message, "sent {message:?}, answered {line:?}");
        let known = self.pod.get_or_insert_with(|| pod.to_owned());
        ensure!(
            *known == pod,
            "flow {} moved from {known} to {pod}",
            self.id
        );
        Ok(Answer {
            pod: pod.to_owned(),
            client: client.parse().context("the client in the answer")?,
        })
    }

    /// The client's own address.
    pub fn local(&self) -> anyhow::Result<SocketAddr> {
        Ok(match &self.socket {
            Socket::Tcp(stream) => stream.get_ref().local_addr()?,
            Socket::Udp(socket) => socket.local_addr()?,
        })
    }

    /// The pod that has answered, if any has.
    pub fn pod(&self) -> Option<&str> {
        self.pod.as_deref()
    }

    /// The flow's id and how many messages it has sent.
    pub fn sent(&self) -> (u64, u64) {
        (self.id, self.sent)
    }
}

impl Socket {
    async fn exchange(&mut self, message: &str) -> anyhow::Result<String> {
        let mut answer = String::new();
        match self {
            Self::Tcp(stream) => {
                let line = format!("{message}\n");
                in_time("sending", stream.write_all(line.as_bytes())).await?;
                let length = in_time("waiting for an answer", stream.read_line(&mut answer));
                ensure!(length.await? > 0, "the server closed the connection");
            }
            Self::Udp(socket) => {
                socket.send(message.as_bytes()).await.context("sending")?;
                let mut buffer = [0; 512];
                let length = in_time("waiting for an answer", socket.recv(&mut buffer)).await?;
                answer.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
        Ok(answer)
    }
}

async fn in_time<T>(
    what: &str,
    work: impl Future<Output = std::io::Result<T>>,
) -> anyhow::Result<T> {
    let stall = stall();
    match tokio::time::timeout(stall, work).await {
        Ok(result) => result.with_context(|| what.to_owned()),
        Err(_elapsed) => bail!("{what} took more than {stall:?}"),
    }
}
