// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows of clients from outside by XDP at the uplink, and by TC after it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    early::{Does, Early},
    netns::Namespace,
    traffic::{Connection, Protocol},
    wait,
};

use super::{Exposure, Region, addresses, port, region};
use crate::region::VISITOR;

const FLAGS: [&str; 2] = ["--xdp=native", "--direct-delivery=on"];

/// The region, with XDP at our node's uplink. On veth links, that takes whole checksums from who
/// sends, and XDP at who receives (`veth_xdp_flush`).
fn fast_region() -> anyhow::Result<(Region, Early)> {
    let region = region(&FLAGS)?;
    let router = &region.scene.node.outside.namespace;
    router.tx_offload_off("eth0")?;
    let pass = Early::open(Does::Pass, router, "eth0")?;
    Ok((region, pass))
}

/// Talks over a flow until told to stop; how often.
fn go_on(
    at: &Namespace,
    family: usize,
    protocol: Protocol,
    stop: &AtomicBool,
) -> anyhow::Result<u32> {
    let from = SocketAddr::new(VISITOR[family], 0);
    let far = addresses(Exposure::NodePort, 3)[family];
    let target = SocketAddr::new(far, port(Exposure::NodePort, 3));
    at.block_on(|| async move {
        let mut connection = Connection::open(protocol, from, target, 1).await?;
        let mut said = 0;
        while !stop.load(Ordering::Relaxed) {
            let talked = connection.exchange().await;
            talked
                .with_context(|| format!("{protocol:?} over {target}, after {said} exchanges"))?;
            said += 1;
            wait::pass_on_runtime(Duration::from_millis(5)).await;
        }
        Ok(said)
    })?
}

/// Flows are the same ones to XDP and to TC: they go on when it comes, goes, and is given other
/// maps.
#[test]
fn xdp_comes_and_goes_under_open_flows() -> anyhow::Result<()> {
    let (region, _pass) = fast_region()?;
    let Region {
        visitor,
        mut scene,
        far,
        servers,
        near,
        ..
    } = region;
    let _alive = (far, servers, near);
    let stop = AtomicBool::new(false);
    let restarts: [&[&str]; 4] = [
        &["--external-ips", "--xdp=off", "--direct-delivery=on"],
        &["--external-ips", "--xdp=native", "--direct-delivery=on"],
        &[
            "--external-ips",
            "--xdp=native",
            "--direct-delivery=on",
            "--flows=4096",
        ],
        &["--external-ips", "--xdp=native", "--direct-delivery=off"],
    ];
    thread::scope(|scope| {
        let flows = [0, 1].map(|family| {
            [Protocol::Tcp, Protocol::Udp].map(|protocol| {
                let (visitor, stop) = (&visitor, &stop);
                scope.spawn(move || go_on(visitor, family, protocol, stop))
            })
        });
        let restarted = restarts.into_iter().try_for_each(|flags| {
            wait::pass(Duration::from_millis(300));
            scene.kill_agent()?;
            scene.start_agent(flags)
        });
        wait::pass(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        restarted?;
        for flow in flows.into_iter().flatten() {
            let said = flow.join().expect("no panic")?;
            ensure!(said > 100, "only {said} exchanges");
        }
        Ok(())
    })
}
