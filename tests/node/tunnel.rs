// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct server return: clients from outside whose backends are on other nodes, each kind of
//! address, both formats, by TC and by XDP. Who sees whom, and which way packets take, is
//! tcpdump's to say.

mod failover;
mod forged;
mod large;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    early::{Does, Early},
    netns::{Namespace, RpFilter},
    observer::Observer,
    traffic::{Answer, Connection, Protocol},
    wait,
};

use crate::{
    fleet::Fleet,
    region::VISITOR,
    scene::{POD_PORT, PORT},
};

/// How a Service's packets get to its backends' nodes: the annotation, and tcpdump's words for it.
pub(crate) const FORMATS: [(&str, &str); 2] = [
    ("dsr-ipip", "ip proto 4 or ip6 proto 41"),
    ("dsr-geneve", "udp dst port 6081"),
];

/// Networks of the Services' addresses, which the router is to lead somewhere.
pub(crate) const NETWORKS: [&str; 2] = ["198.18.0.0/24", "2001:db8:18::/64"];
/// The Service's addresses: a load balancer's, and an external one.
pub(crate) const BALANCED: [&str; 2] = ["198.18.0.10", "2001:db8:18::10"];
const EXTERNAL: [&str; 2] = ["198.18.0.20", "2001:db8:18::20"];
pub(crate) const NODE_PORT: u16 = 30_080;

const BY_TC: &[&str] = &["--external-ips", "--xdp=off", "--direct-delivery=off"];
const BY_TC_DIRECTLY: &[&str] = &["--external-ips", "--xdp=off", "--direct-delivery=on"];
const BY_XDP: &[&str] = &["--external-ips", "--xdp=native", "--direct-delivery=on"];

/// Where packets go into tunnels by these flags.
fn hook(flags: &[&str]) -> &'static str {
    if flags == BY_XDP { "xdp" } else { "ingress" }
}

/// The manifest of a Service whose backends are the pods with these labels.
pub(crate) fn service(forwarding: &str, selector: &str) -> String {
    let [first, second] = BALANCED;
    let ports = format!("port: {PORT}, nodePort: {NODE_PORT}, targetPort: {POD_PORT}");
    format!(
        "apiVersion: v1\nkind: Service\n\
         metadata: {{name: web, annotations: {{weiche.dev/forwarding: {forwarding}}}}}\nspec:\n  \
         type: LoadBalancer\n  clusterIPs: [10.96.0.80, 'fd00:10:96::80']\n  \
         clusterIP: 10.96.0.80\n  \
         ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n  \
         externalIPs: {EXTERNAL:?}\n  selector: {{{selector}}}\n  ports:\n  \
         - {{name: tcp, {ports}}}\n  - {{name: udp, {ports}, protocol: UDP}}\n\
         status: {{loadBalancer: {{ingress: [{{ip: '{first}'}}, {{ip: '{second}'}}]}}}}\n"
    )
}

/// Lets XDP run at these machines' uplinks, where the flags want it. On veth links, that takes
/// whole checksums from who sends, and XDP at who receives.
fn fast_links(fleet: &Fleet, machines: usize, flags: &[&str]) -> anyhow::Result<Vec<Early>> {
    let links = (0..machines).filter(|_| flags == BY_XDP);
    let early = links.map(|number| {
        let link = format!("node{number}");
        fleet.router.tx_offload_off(&link)?;
        Early::open(Does::Pass, &fleet.router, &link)
    });
    early.collect()
}

/// Two nodes, of which the router leads clients to the first, and a Service of the second's pod.
fn two_nodes(forwarding: &str, flags: &[&str]) -> anyhow::Result<(Fleet, Vec<Early>)> {
    let mut fleet = Fleet::set(2, RpFilter::Off)?;
    fleet.write("service", &service(forwarding, "pod: pod-1"))?;
    fleet.lead(&NETWORKS, 0)?;
    fleet.start_agents(flags)?;
    let takes = fast_links(&fleet, 1, flags)?;
    Ok((fleet, takes))
}

/// What clients dial, in each family.
fn targets(fleet: &Fleet) -> [Vec<SocketAddr>; 2] {
    [0, 1].map(|family| {
        let of_node = SocketAddr::new(fleet.machines[0].addresses[family], NODE_PORT);
        let others = [BALANCED, EXTERNAL].map(|addresses| {
            let address: IpAddr = addresses[family].parse().expect("an address");
            SocketAddr::new(address, PORT)
        });
        [of_node].into_iter().chain(others).collect()
    })
}

/// Dials from the visitor, and says two things.
fn talk(at: &Namespace, protocol: Protocol, target: SocketAddr) -> anyhow::Result<Answer> {
    let from = VISITOR[usize::from(target.is_ipv6())];
    at.block_on(|| async move {
        let from = SocketAddr::new(from, 0);
        let mut connection = Connection::open(protocol, from, target, 1).await?;
        connection.exchange().await?;
        connection.exchange().await
    })?
}

/// Each cell of the table.
fn try_all(fleet: &Fleet) -> anyhow::Result<u64> {
    let mut tried = 0;
    for (family, targets) in targets(fleet).iter().enumerate() {
        for target in targets {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let answer = talk(&fleet.visitor, protocol, *target);
                let answer = answer.with_context(|| format!("{protocol:?} to {target}"))?;
                ensure!(
                    answer.client.ip() == VISITOR[family],
                    "{target}: {answer:?}"
                );
                ensure!(answer.pod == "pod-1", "{target}: {answer:?}");
                tried += 1;
            }
        }
    }
    Ok(tried)
}

#[test]
fn backends_see_the_client_and_answer_it_themselves() -> anyhow::Result<()> {
    for (forwarding, filter) in FORMATS {
        for flags in [BY_TC, BY_TC_DIRECTLY, BY_XDP] {
            let (fleet, _takes) = two_nodes(forwarding, flags)?;
            let (lab, [first, second]) = (&fleet.lab, [0, 1].map(|at| &fleet.machines[at]));
            let pod = &second.pod.namespace;
            let at_pod = Observer::start(lab, pod, "eth0", &format!("dst port {POD_PORT}"))?;
            let in_tunnel = Observer::start(lab, &second.namespace, "eth0", filter)?;
            let ports = format!("src port {PORT} or src port {NODE_PORT}");
            let back = Observer::start(lab, &first.namespace, "eth0", &ports)?;
            let cell = || format!("{forwarding} {flags:?}");
            let tried = try_all(&fleet).with_context(cell);
            let tried = tried.with_context(|| fleet.last_words())?;
            let callers = at_pod.stop()?.packets()?;
            let callers: BTreeSet<IpAddr> = callers.iter().map(|seen| seen.source).collect();
            ensure!(
                callers == BTreeSet::from(VISITOR),
                "{}: {callers:?}",
                cell()
            );
            let carried = in_tunnel.stop()?.frames.len();
            ensure!(u64::try_from(carried)? > 2 * tried, "{}: {carried}", cell());
            // Answers do not come by the first node at all.
            let back = back.stop()?.frames.len();
            ensure!(back == 0, "{}: {back} answers", cell());
            let tunnelled = first.counted(hook(flags), "tunnelled")?;
            ensure!(tunnelled > 2 * tried, "{}: {tunnelled}", cell());
        }
    }
    Ok(())
}

/// What is pinned goes on without an agent; a Service may change its ways meanwhile.
#[test]
fn flows_go_on_without_an_agent() -> anyhow::Result<()> {
    let (mut fleet, _) = two_nodes("dsr-ipip", BY_TC)?;
    let target = targets(&fleet)[0][1];
    let from = SocketAddr::new(VISITOR[0], 0);
    let (say, said) = std::sync::mpsc::channel::<()>();
    let (done, is_done) = std::sync::mpsc::channel::<anyhow::Result<Answer>>();
    std::thread::scope(|scope| {
        let visitor = Arc::clone(&fleet.visitor);
        scope.spawn(move || {
            visitor.block_on(|| async move {
                let mut connection = Connection::open(Protocol::Tcp, from, target, 1).await?;
                while said.recv().is_ok() {
                    let _told = done.send(connection.exchange().await);
                }
                anyhow::Ok(())
            })
        });
        let exchange = |what: &str| {
            say.send(()).context("the client is gone")?;
            let answer = is_done.recv_timeout(Duration::from_secs(10));
            answer.with_context(|| what.to_owned())?.map(drop)
        };
        exchange("at first")?;
        let [first, second] = [0, 1].map(|at| fleet.machines[at].flows());
        let backend = SocketAddr::new(fleet.machines[1].pod.v4.into(), POD_PORT).to_string();
        let listed = |state: &str| vec![(state.to_owned(), backend.clone())];
        ensure!(first? == listed("tunnelled") && second? == listed("tracked"));
        for machine in &mut fleet.machines {
            machine.kill_agent()?;
        }
        exchange("without agents")?;
        fleet.write("service", &service("snat", "pod: pod-1"))?;
        fleet.start_agents(BY_TC)?;
        exchange("where new ones go another way")?;
        drop(say);
        anyhow::Ok(())
    })?;
    let answer = wait::until("the other way", Duration::from_secs(10), || {
        talk(&fleet.visitor, Protocol::Tcp, target).ok()
    })?;
    assert_eq!(answer.client.ip(), fleet.machines[0].addresses[0]);
    Ok(())
}
