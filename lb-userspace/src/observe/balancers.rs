// SPDX-License-Identifier: MIT OR Apache-2.0
//! What load balancers ask this node about a Service, at a port of the Service's own
//! (`healthCheckNodePort`): whether it is served here. Answered as kube-proxy does.

use super::server::{Vitals, serve};
use crate::reconcile::{Probe, Report};
use axum::{
    Router,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(5);

/// How many endpoints there are here, for balancers that share traffic out by that.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// Listens for as long as Services ask for it.
pub async fn follow(mut reports: watch::Receiver<Report>, vitals: Arc<Vitals>) -> Infallible {
    let mut doors = BTreeMap::<u16, Door>::new();
    loop {
        let probes = reports.borrow_and_update().probes.clone();
        doors.retain(|port, _| probes.iter().any(|probe| probe.port == *port));
        for probe in probes {
            if let Some(door) = doors.get(&probe.port) {
                door.probe.send_replace(probe);
            } else {
                doors.insert(probe.port, Door::open(probe, vitals.clone()));
            }
        }
        if reports.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One port; closed with the value.
struct Door {
    probe: watch::Sender<Probe>,
    task: JoinHandle<Infallible>,
}

impl Door {
    fn open(probe: Probe, vitals: Arc<Vitals>) -> Self {
        let port = probe.port;
        let (probe, asked) = watch::channel(probe);
        let answer = move || {
            let answer = answer(&asked.borrow(), vitals.is_healthy());
            async { answer }
        };
        // Any path, as there.
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { serve(listen(port).await, router).await });
        Self { probe, task }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens; where that is refused, says so once and tries again.
async fn listen(port: u16) -> TcpListener {
    let mut told = false;
    loop {
        match bind(port).await {
            Ok(listener) => return listener,
            Err(error) if told => tracing::debug!("healthCheckNodePort {port}: {error}"),
            Err(error) => tracing::warn!(
                "healthCheckNodePort {port}: listening failed and is tried again every {} s: {error}",
                AGAIN.as_secs()
            ),
        }
        told = true;
        tokio::time::sleep(AGAIN).await;
    }
}

/// For both families, or for IPv4 alone where there is no IPv6.
async fn bind(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

fn answer(probe: &Probe, is_healthy: bool) -> Response {
    let (namespace, name) = probe.service.split_once('/').unwrap_or_default();
    let status = if is_healthy && probe.local_ready > 0 {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (WEIGHT, HeaderValue::from(probe.local_ready)),
    ];
    let body = json!({
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": probe.local_ready,
        "serviceProxyHealthy": is_healthy,
    });
    (status, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_for_its_own_endpoints() {
        for (local_ready, is_healthy, status) in [
            (0, true, 503),
            (1, true, 200),
            (7, true, 200),
            (7, false, 503),
        ] {
            let probe = Probe {
                service: "default/web".to_owned(),
                port: 30_000,
                local_ready,
            };
            let answer = answer(&probe, is_healthy);
            assert_eq!(answer.status(), status, "{local_ready} {is_healthy}");
            let weight = answer.headers().get(WEIGHT).expect("a weight");
            assert_eq!(weight, &local_ready.to_string());
        }
    }
}
