// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server process of a demo pod: says who it is, over HTTP and UDP, to both families.

use std::{
    io::Write as _,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{ConnectInfo, State},
    routing::get,
};
use tokio::net::{TcpListener, UdpSocket};

/// What it prints once clients can come.
pub(crate) const READY: &str = "ready";

/// Serves until the process is ended.
pub(crate) async fn serve(name: String, port: u16) -> anyhow::Result<()> {
    let name = Arc::<str>::from(name);
    // One socket for both families; IPv4 clients appear as mapped addresses.
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listening on TCP port {port}"))?;
    let socket = UdpSocket::bind(address).await;
    let socket = socket.with_context(|| format!("binding UDP port {port}"))?;
    tokio::spawn(answer_datagrams(socket, Arc::clone(&name)));
    writeln!(std::io::stdout(), "{READY}").context("saying that it is ready")?;
    let app = Router::new()
        .route("/hostname", get(hostname))
        .route("/", get(page))
        .with_state(name);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await.context("serving")
}

async fn hostname(State(name): State<Arc<str>>) -> String {
    format!("{name}\n")
}

async fn page(
    State(name): State<Arc<str>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
) -> String {
    let (address, port) = (client.ip().to_canonical(), client.port());
    format!("This is pod {name}.\nYou come from {address}, port {port}.\n")
}

async fn answer_datagrams(socket: UdpSocket, name: Arc<str>) {
    let answer = format!("{name}\n");
    let mut buffer = [0; 2048];
    loop {
        // An error here is an ICMP message about an earlier answer.
        if let Ok((_length, client)) = socket.recv_from(&mut buffer).await {
            let _client_gone = socket.send_to(answer.as_bytes(), client).await;
        }
    }
}
