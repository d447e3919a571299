// SPDX-License-Identifier: MIT OR Apache-2.0
//! An API server in this process, over real HTTP, with the semantics that a watcher depends on.
//!
//! LIST with `limit`, `continue`, `resourceVersion` and label selectors; WATCH with all five kinds
//! of events, `timeoutSeconds`, bookmarks, streaming lists, and 410 for versions that were
//! compacted away; for Services, `EndpointSlices`, Nodes, Namespaces and Pods; bearer tokens. It
//! forwards ports to Pods, as the kubelet does. Its answers are judged against recordings of a
//! kube-apiserver (`tests/watch/recorded/`). It knows no client: tests edit objects and make
//! [`Faults`] and [`Strike`]s through the handle.

mod discovery;
mod ask;
mod faults;
mod list;
mod objects;
mod port_forward;
mod refusal;
mod routes;
mod selector;
mod watch;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use anyhow::Context as _;
use axum::{Router, http::Uri};
use serde_json::Value;
use tokio::sync::{oneshot, watch as channel};

use self::{
    faults::Climate,
    objects::Objects,
    routes::{router, typed},
};
pub use self::{
    faults::{Faults, HalfLine, NoList, Strike},
    objects::Resource,
};

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

/// A server's objects at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot(Objects);

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// What handlers and the test's handle share.
#[derive(Debug)]
struct Shared {
    objects: Mutex<Objects>,
    /// The objects' version, to wake watches.
    version: channel::Sender<u64>,
    climate: Climate,
    requests: Mutex<Vec<String>>,
}

impl Default for Shared {
    fn default() -> Self {
        let objects = Objects::default();
        Self {
            version: channel::Sender::new(objects.version()),
            objects: Mutex::new(objects),
            climate: Climate::default(),
            requests: Mutex::default(),
        }
    }
}

impl Shared {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, uri: &Uri) {
        let requests = self.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        requests.push(format!("GET {uri}"));
    }
}

impl ApiServer {
    /// Starts one on a free port of 127.0.0.1, without objects.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts one at this address, without objects.
    pub fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address);
        let listener = listener.with_context(|| format!("listening on {address}"))?;
        let server = Self {
            shared: Arc::default(),
            address: listener.local_addr()?,
            running: Mutex::default(),
        };
        server.serve(listener)?;
        Ok(server)
    }

    /// One without sockets and threads, on the runtime of whoever asks it by [`Self::service`].
    pub fn in_memory() -> Self {
        Self {
            shared: Arc::default(),
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            running: Mutex::default(),
        }
    }

    /// The way to it without a socket.
    pub fn service(&self) -> Router {
        router(self.shared.clone())
    }

    /// Ends it as a power cut does: its connections are reset. Objects and versions stay.
    pub fn stop(&self) -> anyhow::Result<()> {
        let Some(running) = self.running().take() else {
            return Ok(());
        };
        // It has ended by itself when nobody takes this.
        let _ = running.stop.send(());
        let ended = running.thread.join();
        ended.unwrap_or_else(|_panic| anyhow::bail!("the API server's thread panicked"))
    }

    /// Starts it again, at the same address.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.stop()?;
        let listener = TcpListener::bind(self.address);
        self.serve(listener.with_context(|| format!("listening on {}", self.address))?)
    }

    /// The text of a kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_of("{}")
    }

    /// The text of a kubeconfig that leads here, with a file that holds a bearer token.
    pub fn kubeconfig_with_token(&self, file: &Path) -> String {
        self.kubeconfig_of(&format!("{{tokenFile: '{}'}}", file.display()))
    }

    fn kubeconfig_of(&self, user: &str) -> String {
        let address = self.address;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  \
             cluster: {{server: 'http://{address}'}}\nusers:\n- name: test\n  user: {user}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test}}\n"
        )
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes or changes an object, which says its `kind`, and returns its new version.
    ///
    /// # Panics
    ///
    /// When the object is of no kind that is served, or has no name.
    pub fn put(&self, object: Value) -> u64 {
        let version = self.shared.objects().put(object);
        self.shared.version.send_replace(version);
        version
    }

    /// Deletes an object; says whether it was there. The namespace of Nodes is empty.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> bool {
        let version = self.shared.objects().delete(resource, namespace, name);
        self.shared.version.send_if_modified(|current| {
            *current = version.unwrap_or(*current);
            version.is_some()
        });
        version.is_some()
    }

    /// All that is known, to be set back to later.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.shared.objects().clone())
    }

    /// Brings an earlier state back, versions included, as from a copy of etcd. A real server is
    /// started anew for that: end connections as well.
    pub fn set_back(&self, snapshot: &Snapshot) {
        let Snapshot(objects) = snapshot.clone();
        self.shared.version.send_replace(objects.version());
        *self.shared.objects() = objects;
    }

    /// Forgets how the present came about: every earlier version is gone (410).
    pub fn compact(&self) {
        self.shared.objects().compact();
    }

    /// Turns faults of all resources on and off.
    pub fn faults(&self, change: impl Fn(&mut Faults)) {
        for resource in Resource::SERVED {
            self.faults_of(resource, &change);
        }
    }

    /// Turns faults of one resource on and off.
    pub fn faults_of(&self, resource: Resource, change: impl FnOnce(&mut Faults)) {
        let weather = self.shared.climate.of(resource);
        weather.send_modify(|weather| change(&mut weather.faults));
    }

    /// The faults of one resource that are on.
    pub fn faults_now(&self, resource: Resource) -> Faults {
        self.shared.climate.of(resource).borrow().faults.clone()
    }

    /// How many watches of a resource are open.
    pub fn watches(&self, resource: Resource) -> usize {
        self.shared.climate.open(resource).receiver_count()
    }

    /// Does this to all watches that are open.
    pub fn strike(&self, strike: Strike) {
        for resource in Resource::SERVED {
            self.strike_at(resource, strike);
        }
    }

    /// Does this to the watches of one resource that are open.
    pub fn strike_at(&self, resource: Resource, strike: Strike) {
        let weather = self.shared.climate.of(resource);
        weather.send_modify(|weather| weather.strikes.push(strike));
    }

    /// From now on, only these bearer tokens are good; `None`: nobody is asked for one.
    pub fn accept_tokens(&self, good: Option<&[&str]>) {
        let good = good.map(|good| good.iter().map(|&token| token.to_owned()).collect());
        self.shared.climate.accept_tokens(good);
    }

    /// What is there of a resource, each with its kind.
    pub fn objects(&self, resource: Resource) -> Vec<Value> {
        let objects = self.shared.objects();
        let now = objects.at(objects.version(), resource).unwrap_or_default();
        let now = now.iter().map(|object| typed(resource, object));
        now.collect()
    }

    /// The requests so far, as `GET /path?query`.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.shared.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// On a thread and runtime of its own: when the runtime ends, so do all connections.
    fn serve(&self, listener: TcpListener) -> anyhow::Result<()> {
        listener.set_nonblocking(true)?;
        let router = router(self.shared.clone());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("api-server".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::select! {
                    served = axum::serve(listener, router) => served?,
                    // Also when the handle is gone.
                    _ = stopped => {}
                }
                anyhow::Ok(())
            })
        })?;
        *self.running() = Some(Running { stop, thread });
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // A test that fails says more than this could.
        let _ = self.stop();
    }
}
