// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's answers do not pause, whatever becomes of the agent: a client asks at a set rate,
//! and no question stays without its answer, but for those that the machine itself has dropped.

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tests::{backlog, names::Query, wait};

use super::{DNS, LISTEN, scene_with};
use crate::scene::Scene;

/// Between two questions: 5,000 in a second.
const PERIOD: Duration = Duration::from_micros(200);
/// For an answer; whoever asks again has noticed a pause.
const PATIENCE: Duration = Duration::from_secs(5);

const SHOP: &str = "shop.default.svc.cluster.local";
const NOBODY: &str = "nobody.default.svc.cluster.local";

/// R55: the agent is killed, and another one starts, with maps of the same sizes and of others.
/// How long answers took is printed, for people.
#[test]
fn a_restart_pauses_no_answer() -> anyhow::Result<()> {
    for attach in ["tcx", "clsact"] {
        let attached = ["--attach", attach];
        let mut scene = scene_with(&attached)?;
        for (what, further) in [
            ("the same agent", &[][..]),
            (
                "one with other sizes",
                &["--frontends", "3000", "--flows", "9000"],
            ),
            ("one with the first sizes", &[]),
        ] {
            let flags = [&["--dns-listen", LISTEN], &attached[..], further].concat();
            let mut took = asked_while(&mut scene, |scene| {
                scene.kill_agent()?;
                scene.start_agent(&flags)?;
                scene.wait_for_backends(1).map(drop)
            })?;
            took.sort_unstable();
            let at = |part: usize| took.get(took.len() * part / 100).copied();
            println!(
                "{attach}, {what}: {} questions, all answered; median {:?}, p99 {:?}, longest {:?}",
                took.len(),
                at(50).unwrap_or_default(),
                at(99).unwrap_or_default(),
                took.last().copied().unwrap_or_default(),
            );
            ensure!(took.len() > 500, "only {} questions", took.len());
        }
    }
    Ok(())
}

/// Asks while something is done; how long each answer took.
fn asked_while(
    scene: &mut Scene,
    act: impl FnOnce(&mut Scene) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let socket = scene.client.namespace.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((DNS[0], 53))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        anyhow::Ok(socket)
    })??;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask_until(&socket, &stop));
        let acted = act(scene);
        stop.store(true, Ordering::Relaxed);
        let took = asking.join().ok().context("the client has panicked")?;
        acted.and(took)
    })
}

/// Asks for a name that is there and one that is not, in turns.
fn ask_until(socket: &UdpSocket, stop: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    let mut due = Instant::now();
    let questions = [(SHOP, 0), (NOBODY, 3)];
    for (id, (name, code)) in (1..=u16::MAX).cycle().zip(questions.into_iter().cycle()) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Who is late asks at once, so that the rate holds.
        wait::pass(due.saturating_duration_since(Instant::now()));
        due += PERIOD;
        let (asked, dropped) = (Instant::now(), backlog::dropped()?);
        socket.send(&Query::of(name, 1).id(id).bytes())?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer);
        if length.is_err() && backlog::dropped()? > dropped {
            println!(
                "the machine has dropped packets, question {} maybe",
                took.len()
            );
            continue;
        }
        let length = length.with_context(|| format!("no answer to question {}", took.len()))?;
        took.push(asked.elapsed());
        let [i0, i1, _, flags, ..] = answer;
        ensure!(
            u16::from_be_bytes([i0, i1]) == id && flags & 0x0f == code && length > 12,
            "question {} about {name}: {:02x?}",
            took.len(),
            &answer[..length]
        );
    }
    Ok(took)
}
