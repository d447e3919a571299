// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows of clients from outside by XDP at the uplink, and by TC after it.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    early::{Does, Early},
    netns::{Namespace, Node, Outside, RpFilter},
    observer::Observer,
    packet::udp,
    traffic::{Connection, Protocol},
    wait,
};

use super::{Exposure, ROWS, Region, Row, addresses, forger, port, serve, talk, try_all};
use crate::{
    region::{NODE, VISITOR},
    related::send,
    scene::POD_PORT,
};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// That a sender sends in each direction.
const BYTES: usize = 4_000_000;
pub(super) const FLAGS: [&str; 2] = ["--xdp=native", "--direct-delivery=on"];

/// The region, with XDP at our node's uplink. On veth links, that takes whole checksums from who
/// sends, and XDP at who receives (`veth_xdp_flush`).
pub(super) fn fast_region() -> anyhow::Result<(Region, Early)> {
    fast(Region::set(RpFilter::Off)?)
}

/// The same of a region that is there.
pub(super) fn fast(region: Region) -> anyhow::Result<(Region, Early)> {
    let region = serve(region, &FLAGS)?;
    let pass = takes(&region)?;
    Ok((region, pass))
}

/// What the link to our node takes for XDP to run at its end.
pub(super) fn takes(region: &Region) -> anyhow::Result<Early> {
    let router = &region.scene.node.outside.namespace;
    router.tx_offload_off("eth0")?;
    Early::open(Does::Pass, router, "eth0")
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

/// A bridge in the place of our node's uplink, with its addresses and its way out, whose driver has
/// no XDP.
pub(super) fn bridged(node: &Node) -> anyhow::Result<()> {
    let [v4, v6] = NODE;
    let (out_v4, out_v6) = (Outside::V4, Outside::V6);
    node.namespace.ip(&format!(
        "addr flush dev eth0\n\
         link set eth0 down\n\
         link set eth0 name wire0\n\
         link add eth0 type bridge\n\
         link set wire0 master eth0\n\
         link set wire0 up\n\
         link set eth0 up\n\
         addr add {v4}/24 dev eth0\n\
         addr add {v6}/64 dev eth0 nodad\n\
         route add default via {out_v4} dev eth0\n\
         route add default via {out_v6} dev eth0\n"
    ))?;
    node.namespace.wait_for_link("eth0")
}

/// A bridge takes its time to learn where its port leads.
pub(super) fn wait_for_bridge(region: &Region) -> anyhow::Result<()> {
    for address in NODE {
        let target = SocketAddr::new(address, port(Exposure::NodePort, 1));
        wait::until("the bridge to lead somewhere", PATIENCE, || {
            talk(&region.visitor, VISITOR, Protocol::Tcp, target).ok()
        })?;
    }
    Ok(())
}

/// The same traffic gets the same treatment, and nobody has to read the same warning twice.
#[test]
fn where_a_driver_has_no_xdp_tc_serves() -> anyhow::Result<()> {
    for wish in ["--xdp=native", "--xdp=auto"] {
        let region = Region::set(RpFilter::Off)?;
        bridged(&region.scene.node)?;
        let region = serve(region, &[wish, "--direct-delivery=on"])?;
        wait_for_bridge(&region)?;
        let sees = |row: &Row, exposure| match exposure {
            Exposure::ClusterIp => row.4,
            _ => row.5,
        };
        let tried = try_all(&region.visitor, VISITOR, &ROWS, sees);
        tried.with_context(|| region.scene.last_words())?;
        // Each change of a link is another occasion.
        for mtu in [1_400, 1_500] {
            let change = format!("link set eth0 mtu {mtu}\n");
            region.scene.node.namespace.ip(&change)?;
            wait::pass(Duration::from_millis(300));
        }
        let said = region.scene.last_words();
        let warnings = said.matches("no XDP here").count();
        ensure!(warnings == 1, "{wish}: {warnings} warnings: {said}");
        let by_tc = region.scene.counted("egress", "masqueraded")?;
        let by_xdp = region.scene.counted("xdp", "relayed")?;
        ensure!(by_tc > 0 && by_xdp == 0, "{wish}: {by_tc}, {by_xdp}");
    }
    Ok(())
}

/// The MTU of links whose frames fill several pages.
const LARGE_MTU: u32 = 9_000;

/// The driver shows XDP the first buffer of such a frame, and the headers are in there.
#[test]
fn frames_of_several_buffers_are_sent_on() -> anyhow::Result<()> {
    let region = Region::set(RpFilter::Off)?;
    let router = &region.scene.node.outside.namespace;
    let links = [
        (router, ["eth0", "out0", "far0"].as_slice()),
        (&region.scene.node.namespace, &["eth0"]),
        (&region.visitor, &["eth0"]),
        (&region.far_node, &["eth0", "pod0"]),
        (&region.far.namespace, &["eth0"]),
    ];
    for (namespace, links) in links {
        let line = |link| format!("link set {link} mtu {LARGE_MTU}\n");
        namespace.ip(&links.iter().map(line).collect::<String>())?;
    }
    let (region, _pass) = fast(region)?;
    let Region {
        visitor,
        far,
        scene,
        servers: [_near, far_server],
        ..
    } = region;
    drop(far_server);
    for family in [0, 1] {
        let pod: IpAddr = [far.v4.into(), far.v6.into()][family];
        let end = SocketAddr::new(pod, POD_PORT);
        let listener = far.namespace.run(|| TcpListener::bind(end))??;
        let target = addresses(Exposure::NodePort, 3)[family];
        let target = SocketAddr::new(target, port(Exposure::NodePort, 3));
        let large = format!("greater {}", LARGE_MTU - 100);
        let [up, down] = [("dst", &far.namespace), ("src", &visitor)].map(|(way, at)| {
            let port = if way == "dst" {
                POD_PORT
            } else {
                target.port()
            };
            let filter = format!("{large} and {way} port {port}");
            Observer::start(&scene.lab, at, "eth0", &filter)
        });
        let dial = || TcpStream::connect_timeout(&target, PATIENCE);
        let mut client = visitor.run(dial)?.context("connecting")?;
        let (mut backend, _) = listener.accept().context("accepting")?;
        send(&mut client, &mut backend, BYTES)?;
        send(&mut backend, &mut client, BYTES)?;
        for seen in [up?, down?] {
            let frames = seen.stop()?.frames.len();
            ensure!(frames > 20, "{target}: {frames} large frames");
        }
    }
    for reason in ["relayed", "relayed_back"] {
        let relayed = scene.counted("xdp", reason)?;
        ensure!(relayed > 400, "{reason}: {relayed}");
    }
    Ok(())
}

/// Tags are another interface's, on top of this one, and TC's to judge.
#[test]
fn tagged_frames_go_on_as_they_came() -> anyhow::Result<()> {
    let (region, _pass) = fast_region()?;
    let socket = forger(&region)?;
    let scene = &region.scene;
    let frames = [0, 1].map(|family| {
        let target = addresses(Exposure::NodePort, 3)[family];
        let target = SocketAddr::new(target, port(Exposure::NodePort, 3));
        udp(SocketAddr::new(VISITOR[family], 5_000), target).payload(b"1 1")
    });
    // The uplink has got another station, which the agent has to hear of first; and then nothing
    // is to be under way.
    for frame in &frames {
        let before = scene.counted("xdp", "relayed")?;
        wait::until("frames without tags", PATIENCE, || {
            socket.send(&frame.bytes()).ok()?;
            wait::pass(Duration::from_millis(100));
            (scene.counted("xdp", "relayed").ok()? > before).then_some(())
        })?;
    }
    wait::pass(Duration::from_secs(1));
    let filter = format!("udp dst port {POD_PORT}");
    let far = &region.far.namespace;
    let seen = Observer::start(&scene.lab, far, "eth0", &filter)?;
    let relayed = scene.counted("xdp", "relayed")?;
    let mut sent = 0;
    for frame in &frames {
        for tpid in [0x8100, 0x88a8] {
            socket.send(&frame.clone().tagged(tpid, 5).bytes())?;
            sent += 1;
        }
    }
    wait::until("tagged frames at TC", PATIENCE, || {
        let tagged = scene.counted("ingress", "tagged").ok()?;
        (tagged == sent).then_some(())
    })?;
    let delivered = seen.stop()?.frames.len();
    ensure!(delivered == 0, "{delivered} delivered");
    let still = scene.counted("xdp", "relayed")?;
    ensure!(still == relayed, "{still} relayed, and {relayed} before");
    Ok(())
}
