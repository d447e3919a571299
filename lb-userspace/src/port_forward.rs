// SPDX-License-Identifier: MIT OR Apache-2.0
//! Local ports that lead to a Pod, straight: for people who want to look at it.
//!
//! Each connection looks anew at what there is, so it follows a Service, or a set of labels, when
//! the Pod that has served goes away.

mod choose;

pub use choose::{BadPorts, Chosen, Meant, Ports};

use crate::watch::standalone::snapshot;
use futures_util::future::join_all;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    cell::RefCell,
    convert::Infallible,
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

/// For a Pod to take a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is to be forwarded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Pods and Services are stated.
    pub manifests: Vec<PathBuf>,
    /// What is meant.
    pub meant: Meant,
    /// Which ports.
    pub ports: Vec<Ports>,
    /// Where to listen.
    pub addresses: Vec<IpAddr>,
    /// The network namespace that Pods are reached from; none: ours.
    pub namespace: Option<PathBuf>,
}

/// It cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Nothing would be reached.
    #[error("{meant}: nothing there serves port {port} now; see `weiche service list`")]
    Nothing {
        /// What was meant.
        meant: String,
        /// The port.
        port: u16,
    },
    /// The port is taken, or the address is not ours.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// What each connection needs.
struct Shared {
    settings: Settings,
    /// Who has served last, for as long as it can.
    last: RefCell<Option<Chosen>>,
    say: Box<dyn Fn(&str)>,
}

/// Forwards until it is ended; `say` gets a line for each thing that people want to know.
pub async fn run(
    settings: Settings,
    say: impl Fn(&str) + 'static,
) -> Result<Infallible, ForwardError> {
    let shared = Shared {
        settings,
        last: RefCell::default(),
        say: Box::new(say),
    };
    let shared = Rc::new(shared);
    for ports in &shared.settings.ports {
        if shared.candidates(ports.remote).is_empty() {
            return Err(ForwardError::Nothing {
                meant: shared.settings.meant.to_string(),
                port: ports.remote,
            });
        }
    }
    let mut listeners = Vec::new();
    for ports in &shared.settings.ports {
        for address in &shared.settings.addresses {
            let address = SocketAddr::new(*address, ports.local);
            let failed = |cause| ForwardError::Listen { address, cause };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let here = listener.local_addr().map_err(failed)?;
            (shared.say)(&format!("Forwarding from {here} -> {}", ports.remote));
            listeners.push((listener, ports.remote));
        }
    }
    let each = listeners.into_iter();
    let each = each.map(|(listener, remote)| serve(shared.clone(), listener, remote));
    join_all(each).await;
    std::future::pending().await
}

async fn serve(shared: Rc<Shared>, listener: TcpListener, remote: u16) -> Infallible {
    let mut connections = tokio::task::JoinSet::new();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                // An error here is a connection that has ended already.
                if let Ok((stream, _peer)) = listener.accept().await {
                    let shared = shared.clone();
                    connections
                        .spawn_local(async move { connection(&shared, stream, remote).await });
                }
                while connections.try_join_next().is_some() {}
            }
        })
        .await
}

async fn connection(shared: &Shared, mut client: TcpStream, remote: u16) {
    for chosen in shared.candidates(remote) {
        let namespace = shared.settings.namespace.clone();
        match dial(chosen.address, namespace).await {
            Ok(mut pod) => {
                shared.note(&chosen);
                // Either side may go whenever it likes.
                let _ended = copy_bidirectional(&mut client, &mut pod).await;
                return;
            }
            Err(error) => (shared.say)(&format!("{chosen} does not answer: {error}")),
        }
    }
    (shared.say)(&format!(
        "{}: nobody serves port {remote} now",
        shared.settings.meant
    ));
}

impl Shared {
    /// Who may serve a port now; whoever has served last comes first.
    fn candidates(&self, remote: u16) -> Vec<Chosen> {
        let snapshot = snapshot::read(self.settings.manifests.clone());
        let mut found = choose::candidates(&self.settings.meant, remote, &snapshot);
        let last = self.last.borrow();
        let is_last = |chosen: &Chosen| last.as_ref().is_some_and(|last| last.pod == chosen.pod);
        found.sort_by_key(|chosen| !is_last(chosen));
        found
    }

    /// Says so if another one serves than before.
    fn note(&self, chosen: &Chosen) {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|last| last.pod != chosen.pod) {
            (self.say)(&format!("{chosen} serves"));
            *last = Some(chosen.clone());
        }
    }
}

/// A connection that is made in a namespace stays there, whoever uses it.
async fn dial(address: SocketAddr, namespace: Option<PathBuf>) -> io::Result<TcpStream> {
    let dialled = tokio::task::spawn_blocking(move || {
        // Of a thread of its own, as nobody else is to be in that namespace.
        let thread = std::thread::spawn(move || {
            namespace.as_deref().map_or(Ok(()), enter)?;
            let stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        thread
            .join()
            .unwrap_or_else(|_panic| Err(io::Error::other("the thread has ended")))
    });
    TcpStream::from_std(dialled.await.map_err(io::Error::other)??)
}

fn enter(namespace: &Path) -> io::Result<()> {
    let file = File::open(namespace)?;
    Ok(move_into_link_name_space(
        file.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}
