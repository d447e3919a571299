// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness itself, without Weiche: if pods cannot talk to each other directly, no other test
//! of this suite says anything.

use std::{fs, net::SocketAddr, process::Stdio, time::Duration};

use tests::{
    netns::{Identity, Lab, Node, Outside, Process, RpFilter},
    observer::Observer,
    traffic::{Burst, Load, Protocol, Route, Server, burst},
    wait,
};

const PORT: u16 = 8080;

#[test]
fn pods_and_the_outside_reach_each_other() -> anyhow::Result<()> {
    for rp_filter in [RpFilter::Off, RpFilter::Strict, RpFilter::Loose] {
        let lab = Lab::new("test")?;
        let node = Node::new(&lab, rp_filter)?;
        let client = node.add_pod(&lab, "client", 2)?;
        let pod = node.add_pod(&lab, "server", 300)?;
        let server = Server::start(&pod, PORT)?;
        let outside = &node.outside.namespace;
        let rows = [
            (&client.namespace, client.v4.into(), pod.v4.into()),
            (&client.namespace, client.v6.into(), pod.v6.into()),
            (outside, Outside::V4.into(), pod.v4.into()),
            (outside, Outside::V6.into(), pod.v6.into()),
        ];
        for (at, from, target) in rows {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let target = SocketAddr::new(target, PORT);
                let route = Route {
                    protocol,
                    from,
                    target,
                };
                let report = at.block_on(|| burst(Burst::of(route, 20)))?;
                assert_eq!(report.failures, [""; 0], "{rp_filter:?} {route:?}");
                assert_eq!(report.pods.get("server"), Some(&20));
            }
        }
        assert_eq!(server.log().len(), 20);
    }
    Ok(())
}

#[test]
fn a_load_keeps_flows_open_and_joins_with_the_servers() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let client = node.add_pod(&lab, "client", 2)?;
    let pod = node.add_pod(&lab, "server", 3)?;
    let server = Server::start(&pod, PORT)?;
    let route = |protocol| Route {
        protocol,
        from: client.v6.into(),
        target: SocketAddr::new(pod.v6.into(), PORT),
    };
    let routes = vec![route(Protocol::Tcp), route(Protocol::Udp)];
    let load = Load::start(&client.namespace, routes, 10, 100)?;
    let limit = Duration::from_secs(10);
    wait::until("110 flows", limit, || {
        (server.log().len() >= 110).then_some(())
    })?;
    let report = load.stop()?;
    assert_eq!(report.failures, [""; 0]);
    report.join(&[&server])?;
    assert!(
        report.join(&[]).is_err(),
        "a message that no server saw goes unnoticed"
    );
    // The server dies under open flows: each of them has to fail.
    let load = Load::start(&client.namespace, vec![route(Protocol::Tcp)], 10, 0)?;
    drop(server);
    let gone = wait::until("the end", limit, || Server::start(&pod, PORT).ok())?;
    assert_eq!(load.stop()?.failures.len(), 10);
    drop(gone);
    Ok(())
}

#[test]
fn the_observer_sees_packets_and_their_checksums() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let client = node.add_pod(&lab, "client", 2)?;
    let pod = node.add_pod(&lab, "server", 3)?;
    let _server = Server::start(&pod, PORT)?;
    let route = Route {
        protocol: Protocol::Udp,
        from: client.v4.into(),
        target: SocketAddr::new(pod.v4.into(), PORT),
    };
    // With offload on, the sums on the wire are unfinished, and both judges must say so.
    for offload in [true, false] {
        if !offload {
            client.namespace.tx_offload_off("eth0")?;
            pod.namespace.tx_offload_off("eth0")?;
        }
        let observer = Observer::start(&lab, &client.namespace, "eth0", "udp")?;
        let report = client.namespace.block_on(|| burst(Burst::of(route, 10)))?;
        assert_eq!(report.failures, [""; 0]);
        let capture = observer.stop()?;
        let packets = capture.packets()?;
        assert_eq!(packets.len(), 20);
        assert_eq!(packets[0].source, route.from);
        assert_eq!(packets[0].destination_port, PORT);
        let (complaints, right) = capture.checksums()?;
        if offload {
            assert!(complaints.iter().any(|line| line.starts_with("etherparse")));
            assert!(complaints.iter().any(|line| line.starts_with("tcpdump")));
        } else {
            assert_eq!(complaints, [""; 0]);
            assert_eq!(right, 20);
        }
    }
    Ok(())
}

#[test]
fn a_lab_leaves_nothing_behind() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let name = lab.name().to_owned();
    let bpffs = lab.mount_bpffs()?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let pod = node.add_pod(&lab, "pod", 2)?;
    let mut sleeper = pod.namespace.command("sleep");
    let mut process = Process::spawn(sleeper.arg("1000").stdin(Stdio::null()))?;
    let pid = process.child().id();
    lab.adopt(pid)?;
    let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    assert!(mounts().contains(&bpffs.display().to_string()));
    // What a killed owner does not drop must not be needed.
    std::mem::forget((node, pod));
    drop(lab);
    assert!(!process.wait()?.success(), "killed");
    assert_eq!(Identity::of(pid), None);
    // Labs of tests beside this one are called alike, with `.NUMBER` behind.
    let inside = [format!("{name}-"), format!("{name}/")];
    let of_lab = |text: &str| text == name || inside.iter().any(|inside| text.contains(inside));
    assert!(!of_lab(&mounts()), "{}", mounts());
    for dir in ["/run", "/run/netns"] {
        for entry in fs::read_dir(dir)? {
            let entry = entry?.file_name();
            assert!(!of_lab(&entry.to_string_lossy()), "{dir}: {entry:?}");
        }
    }
    Ok(())
}
