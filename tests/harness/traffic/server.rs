// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server, most often in a pod's namespace, that answers who it is and whom it sees.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind::AddrInUse},
    net::{Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
};

use crate::{
    netns::{Namespace, Pod},
    wait,
};

/// A line over TCP that is not answered: the server closes the connection, before its client does.
pub const HANG_UP: &str = "hang up";

/// How long a port may still be somebody else's.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server saw: the number of messages of each flow, by the flow's id.
type Log = Arc<Mutex<BTreeMap<u64, u64>>>;

/// A running server for TCP and UDP, both families; ends with the value.
#[derive(Debug)]
pub struct Server {
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<anyhow::Result<()>>>>,
}

impl Server {
    /// Serves `port` in the pod, from this call's return.
    pub fn start(pod: &Pod, port: u16) -> anyhow::Result<Self> {
        // One socket for both families; IPv4 clients appear as mapped addresses.
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        Self::listen(&pod.namespace, &pod.name, vec![everywhere])
    }

    /// Serves these addresses and ports of a machine by this name, from this call's return. What is
    /// dialled answers, whichever of its addresses the machine would choose by itself.
    pub fn listen(at: &Namespace, name: &str, ends: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let log = Log::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, listening) = mpsc::channel();
        let what = format!("no server {name} at {ends:?}");
        let (name, shared) = (Arc::<str>::from(name), Arc::clone(&log));
        let serve = move || serve(name, ends, shared, ready, stopped);
        let thread = at.spawn(serve)?;
        match listening.recv_timeout(2 * PATIENCE) {
            Ok(()) => Ok(Self {
                log,
                stop: Some(stop),
                thread: Some(thread),
            }),
            Err(RecvTimeoutError::Timeout) => bail!("{what}: it does not begin"),
            // It has ended, and says why.
            Err(RecvTimeoutError::Disconnected) => {
                let ended = thread.join().ok().context("it has panicked");
                ended.and_then(|it| it?).with_context(|| what.clone())?;
                bail!("{what}: it has ended")
            }
        }
    }

    /// How many messages of each flow it has answered, by the flow's id.
    pub fn log(&self) -> BTreeMap<u64, u64> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have failed and gone already; its error has been seen by then.
        let _sent = self.stop.take().map(|stop| stop.send(()));
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(
    name: Arc<str>,
    ends: Vec<SocketAddr>,
    log: Log,
    ready: mpsc::Sender<()>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    for end in ends {
        let listener = listen(end).await.context("listening")?;
        let socket = UdpSocket::bind(end).await.context("binding")?;
        tokio::spawn(answer_datagrams(
            socket,
            Arc::clone(&name),
            Arc::clone(&log),
        ));
        tokio::spawn(answer_connections(
            listener,
            Arc::clone(&name),
            Arc::clone(&log),
        ));
    }
    let _started = ready.send(());
    // Either a wish to stop, or the owner is gone: both end the runtime and its tasks.
    let _wish = stopped.await;
    Ok(())
}

/// Listens, once nobody else does.
///
/// A listener of this process that has been dropped is still held by each child that another thread
/// is starting at this moment, until that child executes its program.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == AddrInUse && begun.elapsed() < PATIENCE => {
                wait::pass_on_runtime(Duration::from_millis(10)).await;
            }
            bound => return bound,
        }
    }
}

async fn answer_connections(listener: TcpListener, name: Arc<str>, log: Log) {
    while let Ok((stream, client)) = listener.accept().await {
        tokio::spawn(answer_lines(
            stream,
            client,
            Arc::clone(&name),
            Arc::clone(&log),
        ));
    }
}

async fn answer_lines(stream: TcpStream, client: SocketAddr, name: Arc<str>, log: Log) {
    let _unneeded = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while matches!(stream.read_line(&mut line).await, Ok(1..)) && line.trim() != HANG_UP {
        let answer = answer(&name, client, &line, &log);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

async fn answer_datagrams(socket: UdpSocket, name: Arc<str>, log: Log) {
    let mut buffer = [0; 512];
    loop {
        // An error here is an ICMP message about an earlier answer.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let line = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        let answer = answer(&name, client, &line, &log);
        let _client_gone = socket.send_to(answer.as_bytes(), client).await;
    }
}

fn answer(name: &str, client: SocketAddr, line: &str, log: &Log) -> String {
    let line = line.trim();
    let id = line.split(' ').next().and_then(|id| id.parse().ok());
    if let Some(id) = id {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        *log.entry(id).or_default() += 1;
    }
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    format!("{name} {client} {line}\n")
}
