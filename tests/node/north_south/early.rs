// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same clients by XDP at the uplink: what goes on to the other node goes on there, and
//! everything else reaches TC as it came. Who sees whom is tcpdump's to say.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    early::{Does, Early},
    netns::{Namespace, RpFilter},
    observer::Observer,
    traffic::{Connection, Protocol},
    wait,
};

use super::{Exposure, Region, addresses, from_outside, port, region, try_all};
use crate::{
    region::{NODE, VISITOR},
    scene::POD_PORT,
};

const FLAGS: [&str; 2] = ["--xdp=native", "--direct-delivery=on"];

/// The region, with XDP at our node's uplink. On veth links, that takes whole checksums from who
/// sends, and XDP at who receives (`veth_xdp_flush`).
fn fast_region(rp_filter: RpFilter) -> anyhow::Result<(Region, Early)> {
    let region = region(rp_filter, &FLAGS)?;
    let router = &region.scene.node.outside.namespace;
    router.tx_offload_off("eth0")?;
    let pass = Early::open(Does::Pass, router, "eth0")?;
    Ok((region, pass))
}

#[test]
fn backends_see_the_same_by_xdp() -> anyhow::Result<()> {
    for rp_filter in [RpFilter::Off, RpFilter::Strict] {
        let (region, _pass) = fast_region(rp_filter)?;
        let filter = format!("dst port {POD_PORT}");
        let pods = [&region.near, &region.far];
        let observers =
            pods.map(|pod| Observer::start(&region.scene.lab, &pod.namespace, "eth0", &filter));
        let tried = try_all(&region.visitor, VISITOR, from_outside);
        let tried = tried.with_context(|| format!("rp_filter {rp_filter:?}"));
        tried.with_context(|| region.scene.last_words())?;
        for (observer, expected) in observers.into_iter().zip([VISITOR, NODE]) {
            let packets = observer?.stop()?.packets()?;
            let callers: BTreeSet<IpAddr> = packets.iter().map(|seen| seen.source).collect();
            assert_eq!(callers, BTreeSet::from(expected));
        }
        for reason in ["relayed", "relayed_back", "continued"] {
            let count = region.scene.counted("xdp", reason)?;
            assert!(count > 20, "{reason}: {count}");
        }
        // What XDP has sent on, TC has not seen.
        assert_eq!(region.scene.counted("egress", "masqueraded")?, 0);
    }
    Ok(())
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
    let (region, _pass) = fast_region(RpFilter::Off)?;
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
