// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that connect and say nothing keep nobody out for long.

use std::{
    io::Read as _,
    net::{TcpStream, ToSocketAddrs as _},
};

use anyhow::Context as _;
use tests::wait;

use super::{PATIENCE, dig, scene};

/// More than one address may have.
const SILENT: usize = 100;

#[test]
fn silent_connections_are_ended_and_datagrams_do_not_wait_for_it() -> anyhow::Result<()> {
    let scene = scene()?;
    let server = ("192.0.2.10", 53)
        .to_socket_addrs()?
        .next()
        .context("an address")?;
    let connect = || (0..SILENT).map(|_| TcpStream::connect(server)).collect();
    let silent: Vec<std::io::Result<TcpStream>> = scene.client.namespace.run(connect)?;
    let mut silent: Vec<TcpStream> = silent.into_iter().collect::<Result<_, _>>()?;
    for stream in &silent {
        stream.set_nonblocking(true)?;
    }
    let shop = ["@192.0.2.10", "shop.default.svc.cluster.local.", "A"];
    assert_eq!(dig(&scene, &shop)?, "NOERROR 10.96.0.20");
    wait::until("the end of all that say nothing", PATIENCE, || {
        silent.retain_mut(|stream| !has_ended(stream));
        silent.is_empty().then_some(())
    })?;
    assert_eq!(
        dig(&scene, &[&shop[..], &["+tcp"]].concat())?,
        "NOERROR 10.96.0.20"
    );
    Ok(())
}

fn has_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
