// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server process of a demo pod: says who it is, over HTTP and UDP, to both families.

mod page;

use std::{
    io::Write as _,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{ConnectInfo, Query, State},
    http::HeaderMap,
    response::Html,
    routing::get,
};
use page::Question;
use tokio::net::{TcpListener, UdpSocket};

/// What it prints once clients can come.
pub(crate) const READY: &str = "ready";

/// Serves until the process is ended.
pub(crate) async fn serve(name: String, addresses: String, port: u16) -> anyhow::Result<()> {
    let pod = Arc::new(Pod { name, addresses });
    // One socket for both families; IPv4 clients appear as mapped addresses.
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listening on TCP port {port}"))?;
    let socket = UdpSocket::bind(address).await;
    let socket = socket.with_context(|| format!("binding UDP port {port}"))?;
    tokio::spawn(answer_datagrams(socket, Arc::clone(&pod)));
    writeln!(std::io::stdout(), "{READY}").context("saying that it is ready")?;
    let app = Router::new()
        .route("/hostname", get(hostname))
        .route("/", get(page))
        .route("/dns", get(dns))
        .with_state(pod);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await.context("serving")
}

/// Who serves here.
#[derive(Debug)]
struct Pod {
    name: String,
    addresses: String,
}

async fn hostname(State(pod): State<Arc<Pod>>) -> String {
    format!("{}\n", pod.name)
}

async fn page(
    State(pod): State<Arc<Pod>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Html<String> {
    Html(page::html(
        &pod.name,
        &pod.addresses,
        client,
        &headers,
        None,
    ))
}

async fn dns(
    State(pod): State<Arc<Pod>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Query(question): Query<Question>,
    headers: HeaderMap,
) -> Html<String> {
    let asked = tokio::task::spawn_blocking(move || page::ask(&question)).await;
    let answer = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    Html(page::html(
        &pod.name,
        &pod.addresses,
        client,
        &headers,
        Some(&answer),
    ))
}

async fn answer_datagrams(socket: UdpSocket, pod: Arc<Pod>) {
    let answer = format!("{}\n", pod.name);
    let mut buffer = [0; 2048];
    loop {
        // An error here is an ICMP message about an earlier answer.
        if let Ok((_length, client)) = socket.recv_from(&mut buffer).await {
            let _client_gone = socket.send_to(answer.as_bytes(), client).await;
        }
    }
}
