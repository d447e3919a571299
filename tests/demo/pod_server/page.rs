// SPDX-License-Identifier: MIT OR Apache-2.0
//! A demo pod's status page: who it is, who asks, and what the pod's own resolver says of a name.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use anyhow::Context as _;
use axum::http::HeaderMap;
use lb_userspace::dns::{client, resolv_conf::ResolvConf};
use serde::Deserialize;

/// What the form *DNS Query* asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Question {
    /// A name; without a dot at its end, the search path counts.
    #[serde(default)]
    name: String,
    /// A type of record.
    #[serde(default)]
    r#type: String,
}

/// The whole page; `answer` is what was said to an earlier question.
pub(super) fn html(
    name: &str,
    addresses: &str,
    client: SocketAddr,
    headers: &HeaderMap,
    answer: Option<&str>,
) -> String {
    let (address, port) = (client.ip().to_canonical(), client.port());
    let mut lines = String::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        // Writing to a String cannot fail.
        let _written = writeln!(lines, "{}", escape(&format!("{name}: {value}")));
    }
    let answer = answer.map(|text| format!("<pre>{}</pre>\n", escape(text)));
    format!(
        "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n<h1>{name}</h1>\n\
         <p>This is pod {name}.\nIts addresses are {addresses}.\n\
         You come from {address}, port {port}.</p>\n\
         <h2>Request</h2>\n<pre>{lines}</pre>\n\
         <h2>DNS Query</h2>\n<form action=\"/dns\">\n\
         <input name=\"name\" placeholder=\"alpaca-prod\">\n\
         <select name=\"type\"><option>A<option>AAAA<option>SRV<option>PTR<option>TXT</select>\n\
         <button>Query</button>\n</form>\n{}",
        answer.unwrap_or_default()
    )
}

/// What the resolver of this process's `resolv.conf` says, in the form of `dig`.
pub(super) fn ask(question: &Question) -> anyhow::Result<String> {
    let conf = ResolvConf::read(Path::new("/etc/resolv.conf")).context("reading resolv.conf")?;
    let server = *conf
        .servers
        .first()
        .context("resolv.conf names no server")?;
    let kind = if question.r#type.is_empty() {
        "A"
    } else {
        &question.r#type
    };
    let kind = kind.to_uppercase().parse().context("the type")?;
    let tried = client::search(server, &conf.candidates(&question.name), kind)?;
    let answer = client::best(&tried).context("that is no name")?;
    Ok(answer.to_string())
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}
