// SPDX-License-Identifier: MIT OR Apache-2.0
//! `pods/NAME/portforward`: a websocket whose frames begin with the number of a channel, two for
//! each port, one of which is for errors (k8s.io/kubelet, `pkg/cri/streaming/portforward`).
//!
//! It does what a kubelet does: dials the Pod, from where this server runs.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::{
    Shared, faults,
    objects::Resource,
    refusal::{self, Refusal},
};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// The only port's channels: its bytes, and what is wrong with it.
const DATA: u8 = 0;
const ERROR: u8 = 1;

/// Which ports; one at a time is enough for us.
#[derive(Debug, Deserialize)]
pub(super) struct Ports {
    ports: u16,
}

pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    Query(ports): Query<Ports>,
    mut request: Request,
) -> Response {
    shared.note(request.uri());
    let headers = request.headers().clone();
    if let Some(refused) = faults::before_answer(&shared, Resource::Pods, &headers).await {
        return refused;
    }
    let Some(pod) = shared.objects().one(Resource::Pods, &namespace, &name) else {
        return refusal::no_object(Resource::Pods, &name);
    };
    let accepted = accepted(&headers);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(key), Some(upgrade)) = (accepted, upgrade) else {
        let said = format!("a websocket of {PROTOCOL} is asked for");
        return Refusal::bad_request(said).into_response();
    };
    tokio::spawn(async move {
        if let Err(error) = forward(&pod, ports.ports, upgrade).await {
            eprintln!("forwarding to {name}: {error:#}");
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    let response = response.body(Body::empty());
    response.unwrap_or_else(|error| Refusal::bad_request(error.to_string()).into_response())
}

/// The answer to the client's key, if it speaks our protocol.
fn accepted(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let mut offered = offered.split(',').map(str::trim);
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    offered
        .any(|it| it == PROTOCOL)
        .then(|| derive_accept_key(key.as_bytes()))
}

async fn forward(pod: &Value, port: u16, upgrade: OnUpgrade) -> anyhow::Result<()> {
    let raw = TokioIo::new(upgrade.await?);
    let socket = WebSocketStream::from_raw_socket(raw, Role::Server, None).await;
    let (mut told, mut heard) = socket.split();
    let frame = |channel: u8, bytes: &[u8]| Message::binary([&[channel], bytes].concat());
    for channel in [DATA, ERROR] {
        told.send(frame(channel, &port.to_le_bytes())).await?;
    }
    let address = pod["status"]["podIP"].as_str().context("no podIP")?;
    let address = SocketAddr::new(address.parse()?, port);
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(error) => {
            let said = format!("failed to connect to {address} inside namespace: {error}");
            told.send(frame(ERROR, said.as_bytes())).await?;
            told.send(Message::Close(None)).await?;
            return Ok(());
        }
    };
    let (mut from_pod, mut to_pod) = stream.into_split();
    let up = async {
        while let Some(Ok(message)) = heard.next().await {
            match message {
                Message::Binary(bytes) if bytes.first() == Some(&DATA) => {
                    to_pod.write_all(&bytes[1..]).await?;
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
        anyhow::Ok(())
    };
    let down = async {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            match from_pod.read(&mut buffer).await? {
                0 => break,
                length => told.send(frame(DATA, &buffer[..length])).await?,
            }
        }
        told.send(Message::Close(None)).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}
