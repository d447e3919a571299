// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client: connections, requests or datagrams one after another, each timed, for a while.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpStream, UdpSocket},
};

use super::{
    cpu,
    packets::Packets,
    server::{ANSWER, CLOSE, KEEP, REQUEST, SINK, wait, would_block},
    world::World,
};

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Connect, ask once, be answered, and see the connection end.
    Connections,
    /// Ask and be answered on one connection.
    Requests,
    /// The same by UDP, from one socket.
    Datagrams,
    /// As many bytes as one connection takes.
    Stream,
    /// Datagrams of many flows, one way.
    Packets,
}

impl Workload {
    pub(super) const ALL: [Self; 5] = [
        Self::Connections,
        Self::Requests,
        Self::Datagrams,
        Self::Stream,
        Self::Packets,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connections => "TCP connect, request, close",
            Self::Requests => "TCP request and answer",
            Self::Datagrams => "UDP request and answer",
            Self::Stream => "TCP stream",
            Self::Packets => "UDP, one way",
        }
    }
}

/// What came of a while.
pub(super) struct Tally {
    /// How often it was done; megabytes, for a stream.
    pub(super) operations: f64,
    pub(super) seconds: f64,
    /// Of client, server and kernel.
    pub(super) cpu_ns: f64,
    /// In nanoseconds.
    pub(super) latencies: Histogram<u64>,
}

/// Does it for a while, on a thread of its own on one processor.
pub(super) fn run(
    world: &World,
    workload: Workload,
    processor: usize,
    time: Duration,
) -> anyhow::Result<Tally> {
    let server = Some(world.server.thread_id);
    let others = [server, cpu::kernel_thread(processor)?];
    let all = || {
        others
            .into_iter()
            .flatten()
            .map(cpu::of_thread_ns)
            .sum::<anyhow::Result<u64>>()
    };
    world.client.run(|| {
        cpu::pin(processor)?;
        let mut client = Client::new(world, workload)?;
        // One for what is not there yet: a neighbour, a route, a flow.
        client.once().context("the first time")?;
        let (own, others) = (cpu::own_ns(), all()?);
        let begin = Instant::now();
        let mut operations = 0.0;
        let mut latencies = Histogram::new(3)?;
        loop {
            let before = Instant::now();
            operations += client.once()?;
            let after = Instant::now();
            latencies.record(u64::try_from((after - before).as_nanos())?)?;
            if after - begin >= time {
                break;
            }
        }
        let elapsed = begin.elapsed();
        let used = Duration::from_nanos(cpu::own_ns() - own + (all()? - others));
        let time = match workload {
            // The processor's own time: it has nothing to wait for.
            Workload::Packets => used,
            _ => elapsed,
        };
        Ok(Tally {
            operations,
            seconds: time.as_secs_f64(),
            cpu_ns: used.as_secs_f64() * 1e9,
            latencies,
        })
    })?
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that a stream gives to the kernel at a time.
const PIECE: usize = 1 << 16;

enum Client<'a> {
    Connections(Socket<SocketAddr>),
    Requests(Socket<TcpStream>),
    Datagrams(Socket<UdpSocket>),
    Stream(Socket<TcpStream>),
    Packets(Box<Packets<'a>>),
}

/// Something to wait for, and what waits.
struct Socket<S> {
    of: S,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    fn new(world: &'a World, workload: Workload) -> anyhow::Result<Self> {
        let target = world.target();
        Ok(match workload {
            Workload::Connections => Self::Connections(Socket::over(target, CLOSE)?),
            Workload::Requests => Self::Requests(Socket::over(connect(target)?, KEEP)?.ready()?),
            Workload::Stream => Self::Stream(Socket::over(connect(target)?, SINK)?.ready()?),
            Workload::Packets => Self::Packets(Box::new(Packets::new(world)?)),
            Workload::Datagrams => {
                let socket = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0)))?;
                socket.connect(target)?;
                let mut socket = Socket::over(socket, KEEP)?;
                let registry = socket.poll.registry();
                registry.register(&mut socket.of, Token(0), Interest::READABLE)?;
                Self::Datagrams(socket)
            }
        })
    }

    /// Once more; how much was done.
    fn once(&mut self) -> anyhow::Result<f64> {
        match self {
            Self::Connections(socket) => socket.connection().map(|()| 1.0),
            Self::Requests(socket) => socket.request().map(|()| 1.0),
            Self::Datagrams(socket) => socket.datagram().map(|()| 1.0),
            Self::Stream(socket) => socket.piece(),
            Self::Packets(packets) => packets.piece(),
        }
    }
}

/// Begins to connect.
fn connect(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(target).with_context(|| format!("dialling {target}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl<S> Socket<S> {
    /// Messages of a kind, over something.
    fn over(of: S, kind: u8) -> anyhow::Result<Self> {
        Ok(Self {
            of,
            poll: Poll::new()?,
            events: Events::with_capacity(8),
            buffer: vec![kind; PIECE],
        })
    }

    /// Waits until something has happened.
    fn wait(&mut self) -> anyhow::Result<()> {
        wait(&mut self.poll, &mut self.events, PATIENCE)?;
        ensure!(!self.events.is_empty(), "nothing came within {PATIENCE:?}");
        Ok(())
    }
}

impl Socket<TcpStream> {
    /// Waits for the end of the handshake.
    fn ready(mut self) -> anyhow::Result<Self> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut self.of, Token(0), both)?;
        self.wait()?;
        self.of
            .take_error()?
            .map_or(Ok(self), |error| Err(error.into()))
    }

    /// Asks, and reads the answer.
    fn request(&mut self) -> anyhow::Result<()> {
        self.of.write_all(&self.buffer[..REQUEST])?;
        let mut missing = ANSWER;
        while missing > 0 {
            match would_block(self.of.read(&mut self.buffer[REQUEST..]))? {
                Some(0) => anyhow::bail!("the connection has ended"),
                Some(length) => missing = missing.saturating_sub(length),
                None => self.wait()?,
            }
        }
        Ok(())
    }

    /// Gives as much as the kernel takes, waiting if it takes nothing; in megabytes.
    fn piece(&mut self) -> anyhow::Result<f64> {
        loop {
            if let Some(length) = would_block(self.of.write(&self.buffer))? {
                return Ok(f64::from(u32::try_from(length)?) / 1e6);
            }
            self.wait()?;
        }
    }
}

impl Socket<SocketAddr> {
    /// One whole connection.
    fn connection(&mut self) -> anyhow::Result<()> {
        let mut stream = connect(self.of)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(0), both)?;
        self.wait()?;
        stream.write_all(&self.buffer[..REQUEST])?;
        let mut missing = ANSWER;
        loop {
            match would_block(stream.read(&mut self.buffer[REQUEST..]))? {
                Some(0) => break,
                Some(length) => missing = missing.saturating_sub(length),
                None => self.wait()?,
            }
        }
        ensure!(missing == 0, "the answer ended {missing} bytes early");
        Ok(())
    }
}

impl Socket<UdpSocket> {
    /// Asks, and reads the answer.
    fn datagram(&mut self) -> anyhow::Result<()> {
        self.of.send(&self.buffer[..REQUEST])?;
        loop {
            match would_block(self.of.recv(&mut self.buffer[REQUEST..]))? {
                Some(_length) => return Ok(()),
                None => self.wait()?,
            }
        }
    }
}
