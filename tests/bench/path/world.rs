// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client, a node and a backend that has all pods' addresses, and what stands between them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use tests::{api_server::ApiServer, empty::Empty, netns::Namespace};

use super::{kube_proxy::KubeProxy, server::Server};
use crate::{
    Bench, ENDPOINTS,
    agent::{self, Agent},
    cluster::{self, Cluster},
    nft, ruleset,
};

/// What the client dials, and what takes it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// A pod, with nothing between.
    Direct,
    /// A pod, past programs that do nothing at both links.
    Empty,
    /// A Service, through Weiche's programs at both links and the node's own stack.
    Weiche,
    /// A Service, through Weiche's programs past the node's stack.
    WeicheDirectly,
    /// A Service, through rules of kube-proxy's shape.
    Netfilter,
    /// A Service, through a kube-proxy's own rules.
    KubeProxy,
}

impl Contender {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Empty => "direct, empty programs",
            Self::Weiche => "Weiche, through the stack",
            Self::WeicheDirectly => "Weiche, direct delivery",
            Self::Netfilter => "nft",
            Self::KubeProxy => "kube-proxy",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Empty => "empty",
            Self::Weiche => "weiche",
            Self::WeicheDirectly => "directly",
            Self::Netfilter => "nft",
            Self::KubeProxy => "kube-proxy",
        }
    }
}

/// Three namespaces of one contender; they stay while others are measured.
pub(super) struct World {
    pub(super) contender: Contender,
    pub(super) client: Namespace,
    /// Ends before its namespace does.
    pub(super) server: Arc<Server>,
    pub(super) node: Namespace,
    pub(super) backend: Namespace,
}

/// The Service that is dialled; which one it is makes no difference to a hash.
const ASKED: u32 = 0;

/// A pod's address, as [`Cluster`] and [`ruleset`] have it.
fn pod(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number)
}

/// What serves the Services of a world; it ends with the value.
#[expect(dead_code, reason = "held, so that they go on")]
pub(super) enum Serving {
    Nothing,
    Empty(Empty),
    Agent(Agent, ApiServer),
    Rules,
    KubeProxy(KubeProxy),
}

impl World {
    /// The client's address.
    pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 2);
    /// The node's end of the client's link.
    pub(super) const CLIENT_LINK: &str = "veth2";

    /// The links, without any Service.
    pub(super) fn new(bench: &Bench, contender: Contender, cpu: usize) -> anyhow::Result<Self> {
        let label = contender.label();
        let make = |part: &str| bench.lab.namespace(&format!("{label}-{part}"));
        let (client, node, backend) = (make("client")?, make("node")?, make("backend")?);
        node.sysctl("net/ipv4/ip_forward", "1")?;
        // So many connections follow each other that the usual range is used up within seconds.
        client.sysctl("net/ipv4/ip_local_port_range", "10000 60999")?;
        let (c, n, b) = (client.name(), node.name(), backend.name());
        node.ip(&format!(
            "link add name veth2 netns {n} type veth peer name eth0 netns {c}\n\
             link add name veth3 netns {n} type veth peer name eth0 netns {b}\n\
             addr add 10.255.0.1/32 dev lo\n\
             link set veth2 address 02:00:00:00:00:02 up\n\
             link set veth3 up\n\
             route add 10.255.0.2/32 dev veth2\n\
             route add 10.255.0.3/32 dev veth3\n"
        ))?;
        for (namespace, address) in [(&client, "10.255.0.2"), (&backend, "10.255.0.3")] {
            namespace.ip(&format!(
                "link set eth0 up\n\
                 addr add {address}/32 dev eth0\n\
                 route add 10.255.0.1/32 dev eth0 scope link\n\
                 route add default via 10.255.0.1 dev eth0\n"
            ))?;
        }
        // All pods there can be, behind one link.
        node.ip("route add 10.0.0.0/9 via 10.255.0.3 dev veth3 onlink\n")?;
        backend.ip("route add local 10.0.0.0/9 dev lo\n")?;
        client.wait_for_link("eth0")?;
        backend.wait_for_link("eth0")?;
        let pods = (0..ENDPOINTS).map(|number| pod(ASKED * ENDPOINTS + number));
        let server = Arc::new(Server::start(&backend, pods, cpu)?);
        Ok(Self {
            contender,
            client,
            server,
            node,
            backend,
        })
    }

    /// Makes so many Services known to whatever serves them here, the one that is dialled over UDP
    /// as well; nothing if it takes too long.
    pub(super) fn serve(&self, bench: &Bench, services: u32) -> anyhow::Result<Option<Serving>> {
        let cluster = &Cluster::new(services, ENDPOINTS).with_udp(ASKED);
        match self.contender {
            Contender::Direct => Ok(Some(Serving::Nothing)),
            Contender::Empty => {
                let mut empty = Empty::load()?;
                empty.attach(&self.node, Self::CLIENT_LINK)?;
                empty.attach(&self.node, "veth3")?;
                Ok(Some(Serving::Empty(empty)))
            }
            Contender::Weiche | Contender::WeicheDirectly => {
                let directly = if self.contender == Contender::Weiche {
                    "off"
                } else {
                    "on"
                };
                let api = agent::serve(&self.node, cluster)?;
                // The sizes that so many Services need, and some room.
                let many = |count: u32| (count * 5 / 4).max(24_576).to_string();
                let (frontends, backends) = (many(2 * cluster.services), many(cluster.pods()));
                let slots = many(8 * cluster.services);
                let flags = [
                    "--edge",
                    "veth*",
                    "--uplink",
                    "none",
                    "--direct-delivery",
                    directly,
                    "--frontends",
                    &frontends,
                    "--backends",
                    &backends,
                    "--slots",
                    &slots,
                ];
                let agent = Agent::start(bench, &self.node, &api, cluster, &flags)?;
                Ok(Some(Serving::Agent(agent, api)))
            }
            Contender::Netfilter => {
                nft::run(bench, &self.node, "flush ruleset\n")?;
                let took = nft::load(bench, &self.node, services)?;
                let udp = ruleset::add(ASKED..ASKED + 1, ENDPOINTS, "udp");
                nft::run(bench, &self.node, &udp)?;
                Ok(took.map(|_| Serving::Rules))
            }
            Contender::KubeProxy => {
                let program = bench.kube_proxy.as_deref().context("no --kube-proxy")?;
                let proxy = KubeProxy::start(bench, self, cluster, program)?;
                Ok(Some(Serving::KubeProxy(proxy)))
            }
        }
    }

    /// What the client dials.
    pub(super) fn target(&self) -> SocketAddr {
        match self.contender {
            Contender::Direct | Contender::Empty => {
                SocketAddr::new(pod(ASKED * ENDPOINTS).into(), Server::PORT)
            }
            _ => SocketAddr::new(cluster::cluster_ip(ASKED), 80),
        }
    }
}
