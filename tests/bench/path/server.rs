// SPDX-License-Identifier: MIT OR Apache-2.0
//! What answers behind all Services: one thread on one processor, over epoll, until told to end.
//!
//! The first byte of what comes says what is wanted: [`CLOSE`], [`KEEP`] or [`SINK`].

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream, UdpSocket},
};
use tests::netns::Namespace;

use super::cpu;

/// A request of [`REQUEST`] bytes: answer with [`ANSWER`] bytes, and close.
pub(super) const CLOSE: u8 = b'C';
/// The same, and go on.
pub(super) const KEEP: u8 = b'K';
/// Take all that comes, and say nothing.
pub(super) const SINK: u8 = b'S';

/// Bytes of a request.
pub(super) const REQUEST: usize = 64;
/// Bytes of an answer.
pub(super) const ANSWER: usize = 128;

const LISTENER: Token = Token(0);
const END: Token = Token(1);
const FIRST: usize = 2;

/// The thread.
#[derive(Debug)]
pub(super) struct Server {
    waker: Arc<Waker>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    /// Its number for the kernel.
    pub(super) thread_id: i32,
}

impl Server {
    /// What pods listen at.
    pub(super) const PORT: u16 = 8080;

    /// Starts it: for TCP at all addresses of the namespace, for UDP at those of some pods, as an
    /// answer has to come from the address that was asked.
    pub(super) fn start(
        namespace: &Namespace,
        pods: impl Iterator<Item = Ipv4Addr> + Send,
        processor: usize,
    ) -> anyhow::Result<Self> {
        let at = |address: Ipv4Addr| SocketAddr::new(address.into(), Self::PORT);
        let (mut listener, datagrams) = namespace.run(|| -> anyhow::Result<_> {
            let sockets = pods.map(|pod| UdpSocket::bind(at(pod)));
            let sockets = sockets.collect::<std::io::Result<Vec<_>>>()?;
            Ok((TcpListener::bind(at(Ipv4Addr::UNSPECIFIED))?, sockets))
        })??;
        let poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut sockets = HashMap::new();
        for (number, mut socket) in (FIRST..).zip(datagrams) {
            registry.register(&mut socket, Token(number), Interest::READABLE)?;
            sockets.insert(Token(number), socket);
        }
        let waker = Arc::new(Waker::new(registry, END)?);
        let (say, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Whoever started us has gone if nobody listens.
            let _heard = say.send(cpu::pin(processor).map(|()| cpu::thread_id()));
            run(poll, &listener, &sockets)
        });
        let thread_id = told.recv().context("the server's thread has ended")??;
        Ok(Self {
            waker,
            thread: Some(thread),
            thread_id,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let woken = self.waker.wake().map_err(anyhow::Error::from);
        let joined = woken.and_then(|()| match self.thread.take().map(JoinHandle::join) {
            Some(Err(_panic)) => Err(anyhow!("it panicked")),
            Some(Ok(result)) => result,
            None => Ok(()),
        });
        if let Err(error) = joined {
            eprintln!("the server: {error:#}");
        }
    }
}

fn run(
    mut poll: Poll,
    listener: &TcpListener,
    datagrams: &HashMap<Token, UdpSocket>,
) -> anyhow::Result<()> {
    let mut events = Events::with_capacity(256);
    let mut streams: HashMap<Token, TcpStream> = HashMap::new();
    let mut next = FIRST + datagrams.len();
    let mut buffer = vec![0; 1 << 18];
    loop {
        wait(&mut poll, &mut events, Duration::from_secs(1))?;
        for event in &events {
            match event.token() {
                END => return Ok(()),
                LISTENER => {
                    while let Some((mut stream, _from)) = would_block(listener.accept())? {
                        let token = Token(next);
                        next += 1;
                        stream.set_nodelay(true)?;
                        poll.registry()
                            .register(&mut stream, token, Interest::READABLE)?;
                        streams.insert(token, stream);
                    }
                }
                token => {
                    if let Some(socket) = datagrams.get(&token) {
                        echo(socket, &mut buffer)?;
                        continue;
                    }
                    let Some(stream) = streams.get_mut(&token) else {
                        continue;
                    };
                    if answer(stream, &mut buffer).unwrap_or(true) {
                        streams.remove(&token);
                    }
                }
            }
        }
    }
}

/// Answers every datagram that there is.
fn echo(socket: &UdpSocket, buffer: &mut [u8]) -> std::io::Result<()> {
    while let Some((_length, from)) = would_block(socket.recv_from(buffer))? {
        // A queue that is full loses the answer, and the client says so.
        let _sent = socket.send_to(&buffer[..ANSWER], from);
    }
    Ok(())
}

/// Reads what there is and answers it; whether the connection is over.
fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<bool> {
    loop {
        let Some(length) = would_block(stream.read(buffer))? else {
            return Ok(false);
        };
        match buffer[..length].first() {
            None => return Ok(true),
            Some(&SINK) => {}
            // Answers are small and never more than one at a time: they fit into the socket.
            Some(&first) => {
                stream.write_all(&[first; ANSWER])?;
                if first == CLOSE {
                    return Ok(true);
                }
            }
        }
    }
}

/// Waits for something to happen. Whoever stops a process and lets it go on (a debugger, a freezer)
/// interrupts that, which means nothing.
pub(super) fn wait(poll: &mut Poll, events: &mut Events, limit: Duration) -> std::io::Result<()> {
    loop {
        match poll.poll(events, Some(limit)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Nothing there is no error.
pub(super) fn would_block<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
