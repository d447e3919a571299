// SPDX-License-Identifier: MIT OR Apache-2.0
//! More connections one after the other than the table of flows has room for: all are served, since
//! what is kept of those that have ended goes in time.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::wait;

use crate::scene::{PORT, Scene, V4};

/// Room for flows of each family.
const ROOM: u32 = 1_024;
/// Connections, and the time between two: a minute's tombstones of these are four times the room.
const CONNECTIONS: u32 = 2 * ROOM;
const PERIOD: Duration = Duration::from_millis(14);
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn ended_connections_make_room_for_new_ones() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &["--flows", &ROOM.to_string()])?;
    let begun = Instant::now();
    for number in 0..CONNECTIONS {
        wait::pass((PERIOD * number).saturating_sub(begun.elapsed()));
        converse(&scene).with_context(|| {
            let full = scene.counted("ingress", "flow_table_full");
            format!("connection {number}; refused for want of room: {full:?}")
        })?;
    }
    let full = scene.counted("ingress", "flow_table_full")?;
    ensure!(full == 0, "{full} packets found no room");
    let said = scene.last_words();
    ensure!(said.contains("ended connections are kept"), "{said}");
    Ok(())
}

/// A connection with one message each way, which its client ends.
fn converse(scene: &Scene) -> anyhow::Result<()> {
    let service = SocketAddr::from((V4, PORT));
    let connect = || TcpStream::connect_timeout(&service, PATIENCE);
    let stream = scene.client.namespace.run(connect)??;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"- 1\n")?;
    ensure!(stream.read_line(&mut String::new())? > 0, "no answer");
    Ok(())
}
