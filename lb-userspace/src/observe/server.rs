// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two HTTP servers: probes (kube-proxy's port 10256) and metrics (10249). They answer GET and
//! change nothing.
//!
//! Everybody who reaches the node reaches the probes, so all is bounded: one request for each
//! connection, seconds for it, few connections at once, and fewer from one address, so that nobody
//! keeps the kubelet out.

use super::{
    health::{Moment, Probe, Pulse},
    metrics::{Kernel, Metrics},
    pressure::{Alarms, Pressed},
};
use crate::{
    clock,
    guests::Guests,
    maps::kernel::{KernelFlows, KernelReasons, Usage},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// Connections at once, and from one address.
const CONNECTIONS: usize = 128;
const OF_ONE_ADDRESS: usize = 8;

/// For the head of a request, and for the whole connection.
const HEAD: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;

/// As kube-proxy does.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// Flows are not counted more often.
const COUNT_AGAIN_NS: u64 = 5_000_000_000;
/// Nor so often that counting takes more than one part in so many of a processor's time, where
/// nobody asks for it.
const COUNT_SHARE: u32 = 100;

/// What both servers tell about.
pub struct Vitals {
    /// The metrics.
    pub metrics: Metrics,
    pulse: Mutex<Pulse>,
    kernel: Option<Arc<Source>>,
    /// When the kernel was read last; held while it is.
    read_ns: tokio::sync::Mutex<Option<u64>>,
}

/// The maps that are read when somebody asks.
pub struct Source {
    /// Packets by reason.
    pub reasons: KernelReasons,
    /// Flows.
    pub flows: KernelFlows,
}

impl Vitals {
    /// Of an agent that starts now.
    pub fn new(metrics: Metrics, kernel: Option<Source>) -> Self {
        let pulse = Pulse {
            started: now(),
            ..Pulse::default()
        };
        Self {
            metrics,
            pulse: Mutex::new(pulse),
            kernel: kernel.map(Arc::new),
            read_ns: tokio::sync::Mutex::default(),
        }
    }

    /// Takes in what the reconciler says after a round.
    pub fn round(&self, report: &crate::reconcile::Report) {
        self.pulse().beat(report, now());
        self.metrics.round(report);
    }

    /// Takes in that programs are attached wherever they are to be, or could not be.
    pub fn attached(&self) {
        self.pulse().attached = true;
    }

    /// Looks at how full the maps are for as long as the agent lives, shows that to `look`, and
    /// reports which are nearly full whenever that changes.
    pub async fn watch_pressure(
        &self,
        mut look: impl FnMut(&[Usage]),
        report: impl Fn(Vec<Pressed>),
    ) -> Infallible {
        let mut alarms = Alarms::default();
        loop {
            let took = self.read_kernel().await;
            let usages = self.metrics.usages();
            look(&usages);
            if alarms.judge(&usages, clock::unix_s()) {
                let pressed = alarms.pressed();
                self.metrics.pressed(&pressed);
                report(pressed);
            }
            let pause = Duration::from_nanos(COUNT_AGAIN_NS).max(took * COUNT_SHARE);
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether `/healthz` says that all is well.
    pub fn is_healthy(&self) -> bool {
        self.pulse().answer(Probe::Healthz, now()).healthy
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the kernel, unless that was done a moment ago; how long that kept a processor busy.
    /// Who fails says so in the log and tells what was read before.
    async fn read_kernel(&self) -> Duration {
        let Some(source) = self.kernel.clone() else {
            return Duration::ZERO;
        };
        let mut read_ns = self.read_ns.lock().await;
        let now_ns = clock::monotonic_ns();
        if read_ns.is_some_and(|read_ns| now_ns.saturating_sub(read_ns) < COUNT_AGAIN_NS) {
            return Duration::ZERO;
        }
        let read = move || {
            let begun_ns = clock::thread_cpu_ns();
            let kernel = Kernel::read(&source.reasons, &source.flows);
            (kernel, clock::thread_cpu_ns().saturating_sub(begun_ns))
        };
        let read = tokio::task::spawn_blocking(read).await;
        *read_ns = Some(now_ns);
        let (kernel, took_ns) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!("metrics: {error}");
                return Duration::ZERO;
            }
        };
        match kernel {
            Ok(kernel) => self.metrics.kernel(kernel),
            Err(error) => tracing::warn!("metrics: {error}"),
        }
        Duration::from_nanos(took_ns)
    }
}

/// What `--healthz-bind-address` serves.
pub fn probes(vitals: Arc<Vitals>) -> Router {
    let probe =
        |probe| get(move |State(vitals): State<Arc<Vitals>>| async move { tell(&vitals, probe) });
    Router::new()
        .route("/healthz", probe(Probe::Healthz))
        .route("/livez", probe(Probe::Livez))
        .route("/readyz", probe(Probe::Readyz))
        .with_state(vitals)
}

/// What `--metrics-bind-address` serves.
pub fn metrics(vitals: Arc<Vitals>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(vitals)
}

fn tell(vitals: &Vitals, probe: Probe) -> Response {
    let answer = vitals.pulse().answer(probe, now());
    vitals.metrics.probed(probe, &answer);
    let status = if answer.healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, answer.body).into_response()
}

async fn scrape(State(vitals): State<Arc<Vitals>>) -> Response {
    vitals.read_kernel().await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match vitals.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// An address cannot be listened on, and `--bind-address-hard-fail` says that this is the end.
#[derive(Debug, thiserror::Error)]
#[error(
    "--{flag}: listening on {address}, and --bind-address-hard-fail was given: stop who has the \
     port (kube-proxy has the same one), or give another address"
)]
pub struct ListenError {
    flag: &'static str,
    address: SocketAddr,
    #[source]
    cause: io::Error,
}

/// Listens; where that is refused, says so once and tries again, as kube-proxy does.
pub async fn listen(
    flag: &'static str,
    address: SocketAddr,
    hard_fail: bool,
) -> Result<TcpListener, ListenError> {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!("--{flag}: listening on {address}");
                return Ok(listener);
            }
            Err(cause) if hard_fail => {
                return Err(ListenError {
                    flag,
                    address,
                    cause,
                });
            }
            Err(error) if told => tracing::debug!("--{flag}: {address}: {error}"),
            Err(error) => tracing::warn!(
                "--{flag}: listening on {address} failed and is tried again every {} s: {error}; \
                 stop who has the port (kube-proxy has the same one), or give another address",
                BIND_AGAIN.as_secs()
            ),
        }
        told = true;
        tokio::time::sleep(BIND_AGAIN).await;
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let guests = Guests::new(CONNECTIONS, OF_ONE_ADDRESS);
    loop {
        match listener.accept().await {
            // Whoever finds no room is hung up on.
            Ok((stream, peer)) => {
                if let Some(guest) = guests.admit(peer.ip()) {
                    let router = router.clone();
                    tokio::spawn(async move {
                        let _seat = guest;
                        connection(stream, router).await;
                    });
                }
            }
            // A connection that ended before we took it, or no file descriptors: neither is helped
            // by haste.
            Err(error) => {
                tracing::debug!("accepting a connection: {error}");
                tokio::time::sleep(HEAD / 30).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false);
    let service = TowerToHyperService::new(router);
    let served = http.serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(WHOLE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a probe or scrape failed: {error}"),
        Err(error) => tracing::debug!("a probe or scrape was given up: {error}"),
    }
}

fn now() -> Moment {
    Moment {
        unix_ns: clock::unix_ns(),
        monotonic_ns: clock::monotonic_ns(),
    }
}
