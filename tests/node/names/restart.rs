// SPDX-License-Identifier: MIT OR Apache-2.0
//! An agent that is killed while a client asks without a pause, and starts again: nothing is ever
//! denied, and whoever asks again is answered.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::wait;

use super::{LISTEN, PATIENCE, scene};

/// Before a client asks again.
const AGAIN: Duration = Duration::from_millis(20);
const RESTARTS: usize = 3;

/// A query for the address of `shop`, without its id.
const SHOP: &[u8] = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x04shop\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01";

/// What became of the queries.
#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    /// Sent again, as nobody had answered.
    again: u64,
    /// From a query's first time to its answer.
    longest: Duration,
}

#[test]
fn a_restart_under_load_denies_nothing() -> anyhow::Result<()> {
    let mut scene = scene()?;
    wait::until("the names to be kept", PATIENCE, || {
        let names: Vec<serde_json::Value> = scene.weiche.list(&["dns", "list"]).ok()?;
        (!names.is_empty()).then_some(())
    })?;
    let socket = scene.client.namespace.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("192.0.2.10:53")?;
        socket.set_read_timeout(Some(AGAIN))?;
        anyhow::Ok(socket)
    })??;
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let load = std::thread::spawn(move || ask_until(&socket, &seen));
    for _ in 0..RESTARTS {
        scene.kill_agent()?;
        scene.start_agent(&["--dns-listen", LISTEN, "--dns-upstream", "none"])?;
    }
    over.store(true, Ordering::Release);
    let tally = load.join().ok().context("the load's thread")??;
    println!("{RESTARTS} restarts: {tally:?}");
    ensure!(tally.again > 0, "nobody has noticed: {tally:?}");
    Ok(())
}

fn ask_until(socket: &UdpSocket, over: &AtomicBool) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut id = 0_u16;
    while !over.load(Ordering::Acquire) {
        id = id.wrapping_add(1);
        let begun = Instant::now();
        let code = wait::until("an answer", PATIENCE, || {
            let answer = ask(socket, id);
            tally.again += u64::from(answer.is_none());
            answer
        })?;
        // What is not known yet is not denied either: the names of the agent before count.
        ensure!(
            code == 0,
            "the code {code} after {} answers",
            tally.answered
        );
        tally.answered += 1;
        tally.longest = tally.longest.max(begun.elapsed());
    }
    Ok(tally)
}

/// The code of the answer, if one comes.
fn ask(socket: &UdpSocket, id: u16) -> Option<u8> {
    let id = id.to_be_bytes();
    socket.send(&[&id, SHOP].concat()).ok()?;
    let mut answer = [0; 512];
    loop {
        // An error is time that is up, or an ICMP message: nobody is there.
        let length = socket.recv(&mut answer).ok()?;
        if length > 12 && answer[..2] == id {
            return Some(answer[3] & 0x0f);
        }
    }
}
