// SPDX-License-Identifier: MIT OR Apache-2.0
//! An API server in this process, over real HTTP, with the semantics that a watcher depends on.
//!
//! LIST with `limit`, `continue`, `resourceVersion` and label selectors; WATCH with all five kinds
//! of events, `timeoutSeconds`, bookmarks, streaming lists, and 410 for versions that were
//! compacted away; for Services, `EndpointSlices` and Nodes. Its answers are judged against
//! recordings of a kube-apiserver (`tests/watch/recorded/`). It knows no client: tests edit
//! objects and turn [`Faults`] on and off through the handle.

mod discovery;
mod faults;
mod list;
mod objects;
mod refusal;
mod selector;
mod watch;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Path, Query, State},
    http::Uri,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::Value;
use tokio::sync::{oneshot, watch as channel};

pub use self::{faults::Faults, objects::Resource};
use self::{list::Ask, objects::Objects};

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<Running>,
}

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
    faults: channel::Sender<Faults>,
    requests: Mutex<Vec<String>>,
}

impl Shared {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiServer {
    /// Starts one on a free port of 127.0.0.1, without objects.
    pub fn start() -> anyhow::Result<Self> {
        let objects = Objects::default();
        let shared = Shared {
            version: channel::Sender::new(objects.version()),
            objects: Mutex::new(objects),
            faults: channel::Sender::default(),
            requests: Mutex::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut server = Self {
            shared: Arc::new(shared),
            address: listener.local_addr()?,
            running: None,
        };
        server.serve(listener)?;
        Ok(server)
    }

    /// Ends it as a power cut does: its connections are reset. Objects and versions stay.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // It has ended by itself when nobody takes this.
        let _ = running.stop.send(());
        let ended = running.thread.join();
        ended.unwrap_or_else(|_panic| anyhow::bail!("the API server's thread panicked"))
    }

    /// Starts it again, at the same address.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        let listener = TcpListener::bind(self.address);
        self.serve(listener.with_context(|| format!("listening on {}", self.address))?)
    }

    /// The text of a kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        let address = self.address;
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters:\n- name: test\n  \
             cluster: {{server: 'http://{address}'}}\nusers:\n- name: test\n  user: {{}}\n\
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

    /// Forgets how the present came about: every earlier version is gone (410).
    pub fn compact(&self) {
        self.shared.objects().compact();
    }

    /// Turns faults on and off.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// The requests so far, as `GET /path?query`.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.shared.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// On a thread and runtime of its own: when the runtime ends, so do all connections.
    fn serve(&mut self, listener: TcpListener) -> anyhow::Result<()> {
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
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // A test that fails says more than this could.
        let _ = self.stop();
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/version", get(|| async { discovery::version() }))
        .route("/api", get(|| async { discovery::api() }))
        .route("/apis", get(|| async { discovery::apis() }))
        .route("/api/v1", get(|| async { discovery::resources("v1") }))
        .route(
            "/apis/discovery.k8s.io/v1",
            get(|| async { discovery::resources("discovery.k8s.io/v1") }),
        )
        .route("/api/v1/{plural}", get(core_resource))
        .route("/apis/discovery.k8s.io/v1/endpointslices", get(slices))
        .fallback(|| async { refusal::not_found() })
        .with_state(shared)
}

async fn core_resource(
    State(shared): State<Arc<Shared>>,
    Path(plural): Path<String>,
    uri: Uri,
    Query(ask): Query<Ask>,
) -> Response {
    match plural.as_str() {
        "services" => answer(&shared, Resource::Services, &uri.to_string(), ask).await,
        "nodes" => answer(&shared, Resource::Nodes, &uri.to_string(), ask).await,
        _ => refusal::not_found(),
    }
}

async fn slices(State(shared): State<Arc<Shared>>, uri: Uri, Query(ask): Query<Ask>) -> Response {
    answer(&shared, Resource::EndpointSlices, &uri.to_string(), ask).await
}

async fn answer(shared: &Arc<Shared>, resource: Resource, uri: &str, ask: Ask) -> Response {
    let requests = shared.requests.lock();
    requests
        .unwrap_or_else(PoisonError::into_inner)
        .push(format!("GET {uri}"));
    if let Some(refused) = faults::before_answer(shared, resource).await {
        return refused;
    }
    if ask.is_watch() {
        return watch::answer(shared, resource, &ask);
    }
    match list::answer(&shared.objects(), resource, &ask) {
        Ok(body) => axum::Json(body).into_response(),
        Err(refused) => refused.into_response(),
    }
}
