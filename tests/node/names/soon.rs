// SPDX-License-Identifier: MIT OR Apache-2.0
//! How soon a change of a Service is answered.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tests::wait;

use super::{PATIENCE, scene};

const CHANGES: u8 = 100;

/// Each change is seen. How long it takes is printed, for people: from the manifest's being in its
/// place, so the time for which files have to be at rest is part of it.
#[test]
fn every_change_is_answered() -> anyhow::Result<()> {
    let scene = scene()?;
    let socket = scene.client.namespace.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("10.96.0.10:53")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        anyhow::Ok(socket)
    })??;
    let mut took = Vec::new();
    for number in 0..CHANGES {
        let address = Ipv4Addr::new(10, 96, 1, number);
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: late}}\n\
             spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n"
        );
        scene.write("late", &service)?;
        let written = Instant::now();
        wait::until("the change", PATIENCE, || {
            (ask(&socket).ok()?? == address).then_some(())
        })?;
        took.push(written.elapsed());
    }
    took.sort();
    let at = |part: usize| {
        took.get(took.len() * part / 100)
            .copied()
            .context("no figure")
    };
    println!(
        "a change is answered after {:?} (median), {:?} (p99)",
        at(50)?,
        at(99)?
    );
    Ok(())
}

/// The address that `late` has, if there is one.
fn ask(socket: &UdpSocket) -> anyhow::Result<Option<Ipv4Addr>> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["late", "default", "svc", "cluster", "local", ""] {
        query.push(u8::try_from(label.len())?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 1, 0, 1]);
    socket.send(&query)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let found = answer.get(6..8) == Some(&[0, 1]);
    let last: Option<[u8; 4]> = length
        .checked_sub(4)
        .and_then(|at| answer[at..length].try_into().ok());
    Ok(last.filter(|_| found).map(Ipv4Addr::from))
}
