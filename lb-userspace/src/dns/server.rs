// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's sockets. It has a thread of its own, so that names are answered while the agent
//! writes maps; it knows no names itself.
//!
//! Everybody who reaches the addresses is served, so all is bounded: connections, of all clients
//! and of one, questions that somebody else is asked, and the time for each.

use super::{
    Names,
    answer::{Ask, Reply, Transport},
    forward::{self, Forwarder, Upstreams},
};
use crate::{dns::clients::Clients, guests::Guests};
use futures_util::future::join_all;
use rustix::net::sockopt::{set_ip_freebind, set_socket_reuseaddr};
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};

/// Connections at once, and from one address.
const CONNECTIONS: usize = 256;
const OF_ONE_ADDRESS: usize = 32;
/// For the next query of a connection to arrive whole, and for its answer to be taken.
const IDLE: Duration = Duration::from_secs(5);
/// Queries on one connection.
const QUERIES: usize = 1_000;
/// Bytes of a query; the longest name with every option in use is far shorter.
const QUERY: usize = 4_096;
/// Questions that somebody else is being asked.
const ASKED: usize = 1_024;
/// Between two attempts to have an address.
const BIND_AGAIN: Duration = Duration::from_secs(5);
const BACKLOG: u32 = 128;

/// Where the server is, and whom it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Whom it asks for names that are not the cluster's.
    pub upstreams: Upstreams,
    /// For whom.
    pub clients: Clients,
}

/// What the server says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The cluster's domain.
    pub domain: String,
    /// Where it listens, or should.
    pub sockets: Vec<SocketState>,
}

/// One place where it listens, or should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketState {
    /// `UDP` or `TCP`.
    pub protocol: String,
    /// The address.
    pub address: SocketAddr,
    /// Why it does not listen there; empty: it does.
    pub problem: String,
}

/// A running server; it ends when this goes.
#[derive(Debug)]
pub struct Server {
    state: watch::Receiver<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What every socket's work needs.
struct Shared {
    names: Arc<Names>,
    listen: Vec<SocketAddr>,
    forwarder: Mutex<Forwarder>,
    clients: Clients,
    state: watch::Sender<State>,
    asked: Arc<Semaphore>,
    guests: Guests,
}

/// Starts the server. An address that cannot be had is tried again: the others serve meanwhile.
pub fn spawn(settings: Settings, names: Arc<Names>) -> io::Result<Server> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let all = settings.listen.iter();
    let all = all.flat_map(|address| ["UDP", "TCP"].map(|protocol| (protocol, *address)));
    let sockets = all.map(|(protocol, address)| SocketState {
        protocol: protocol.to_owned(),
        address,
        problem: "not yet".to_owned(),
    });
    let state = State {
        domain: names.domain(),
        sockets: sockets.collect(),
    };
    let shared = Arc::new(Shared {
        names,
        forwarder: Mutex::new(Forwarder::new(settings.upstreams)),
        clients: settings.clients,
        state: watch::Sender::new(state),
        asked: Arc::new(Semaphore::new(ASKED)),
        guests: Guests::new(CONNECTIONS, OF_ONE_ADDRESS),
        listen: settings.listen,
    });
    let told = shared.clone();
    let work = async move {
        let addresses = shared.listen.iter();
        let sockets = addresses.map(|&address| {
            let (datagrams, connections) = (shared.clone(), shared.clone());
            async move {
                tokio::join!(
                    serve_datagrams(datagrams, address),
                    serve_connections(connections, address)
                )
            }
        });
        tokio::select! {
            _never = join_all(sockets) => {}
            _told = stopped => {}
        }
    };
    let state = told.state.subscribe();
    let thread = thread::Builder::new().name("dns".to_owned());
    let thread = thread.spawn(move || runtime.block_on(work))?;
    Ok(Server {
        state,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Server {
    /// What it says about itself, now and as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked: a panic ends the process.
            let _ended = thread.join();
        }
    }
}

async fn serve_datagrams(shared: Arc<Shared>, address: SocketAddr) {
    let socket = Arc::new(patiently(&shared, "UDP", address, || bind_udp(address)).await);
    let mut buffer = vec![0; QUERY];
    loop {
        // An error here is an ICMP message about an earlier answer.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default();
        match shared
            .names
            .reply(query, Transport::Udp, shared.asks(client.ip()))
        {
            Reply::Ignore => {}
            Reply::Send(answer) => {
                shared.names.count(&answer);
                // A client whose answers pile up asks again.
                let _dropped = socket.try_send_to(&answer, client);
            }
            Reply::Ask(ask) => {
                let Ok(permit) = shared.asked.clone().try_acquire_owned() else {
                    let answer = ask.failure();
                    shared.names.count(&answer);
                    let _dropped = socket.try_send_to(&answer, client);
                    continue;
                };
                let (shared, socket) = (shared.clone(), socket.clone());
                tokio::spawn(async move {
                    let answer = shared.ask(&ask, Transport::Udp).await;
                    shared.names.count(&answer);
                    let _client_gone = socket.send_to(&answer, client).await;
                    drop(permit);
                });
            }
        }
    }
}

async fn serve_connections(shared: Arc<Shared>, address: SocketAddr) {
    let listener = patiently(&shared, "TCP", address, || listen_tcp(address)).await;
    loop {
        match listener.accept().await {
            // Whoever finds no room is hung up on.
            Ok((stream, peer)) => {
                if let Some(guest) = shared.guests.admit(peer.ip()) {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        let _seat = guest;
                        if let Err(error) = connection(&shared, stream, peer.ip()).await {
                            tracing::debug!("a connection of {peer} ended: {error}");
                        }
                    });
                }
            }
            // No file descriptors, say: not helped by haste.
            Err(error) => {
                tracing::debug!("accepting a connection: {error}");
                tokio::time::sleep(IDLE / 50).await;
            }
        }
    }
}

async fn connection(shared: &Shared, mut stream: TcpStream, client: IpAddr) -> io::Result<()> {
    for _ in 0..QUERIES {
        let Some(query) = timeout(IDLE, read_query(&mut stream)).await?? else {
            return Ok(());
        };
        let asks = shared.asks(client);
        let answer = match shared.names.reply(&query, Transport::Tcp, asks) {
            Reply::Ignore => return Ok(()),
            Reply::Send(answer) => answer,
            Reply::Ask(ask) => match shared.asked.try_acquire() {
                Ok(_permit) => shared.ask(&ask, Transport::Tcp).await,
                Err(_all_busy) => ask.failure(),
            },
        };
        shared.names.count(&answer);
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        // In one piece, so that it is not two segments.
        let message = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&message)).await??;
    }
    Ok(())
}

/// The next query; none: the client has gone, or sends what is none.
async fn read_query(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > QUERY {
        return Ok(None);
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(Some(query))
}

impl Shared {
    /// Whether somebody else is asked for this client, and there is somebody.
    fn asks(&self, client: IpAddr) -> bool {
        if !self.clients.include(client) {
            return false;
        }
        let mut forwarder = self
            .forwarder
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        forwarder.servers().iter().any(|it| !self.is_own(*it))
    }

    async fn ask(&self, ask: &Ask, transport: Transport) -> Vec<u8> {
        let servers: Vec<SocketAddr> = {
            let mut forwarder = self
                .forwarder
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let servers = forwarder.servers().iter().copied();
            servers.filter(|it| !self.is_own(*it)).collect()
        };
        forward::ask(ask, &servers, transport).await
    }

    /// Whether whoever is asked there would ask us: a node's `resolv.conf` may well name its
    /// cluster's DNS Service.
    fn is_own(&self, server: SocketAddr) -> bool {
        self.listen.contains(&server) || self.names.has_service_at(server.ip())
    }
}

/// Until the address can be had.
async fn patiently<T>(
    shared: &Shared,
    protocol: &str,
    address: SocketAddr,
    bind: impl Fn() -> io::Result<T>,
) -> T {
    let say = |problem: &str| {
        let is_it = |it: &&mut SocketState| it.protocol == protocol && it.address == address;
        shared.state.send_if_modified(|state| {
            let socket = state.sockets.iter_mut().find(is_it);
            let news = socket.filter(|socket| socket.problem != problem);
            news.map(|socket| problem.clone_into(&mut socket.problem))
                .is_some()
        })
    };
    loop {
        match bind() {
            Ok(socket) => {
                say("");
                tracing::info!("--dns-listen: {protocol} {address}");
                return socket;
            }
            Err(error) => {
                if say(&error.to_string()) {
                    tracing::warn!(
                        "--dns-listen: {protocol} {address} cannot be had and is tried again every \
                         {} s: {error}; stop who has the port, or give another address",
                        BIND_AGAIN.as_secs()
                    );
                }
            }
        }
        tokio::time::sleep(BIND_AGAIN).await;
    }
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    set_ip_freebind(&socket, true)?;
    bind(&socket, &address)?;
    UdpSocket::from_std(socket.into())
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // The connections of an agent that has just ended are no obstacle.
    set_socket_reuseaddr(&socket, true)?;
    // The address may come later, or be one that is not ready yet (IPv6 looks for doubles first).
    set_ip_freebind(&socket, true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
