// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client, a node, and who answers there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use lb_userspace::model::{Change, Name, Protocol, ServiceObject, ServicePort};
use tests::{api_objects, api_server::ApiServer, control::objects, netns::Namespace};

use super::nsd::Nsd;
use crate::{
    Bench, ENDPOINTS,
    agent::{self, Agent},
    cluster::Cluster,
};

/// The node's own address.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// The client's, and the node's end of its link.
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 2);
pub(super) const NODE_LINK: &str = "veth2";
/// That of the DNS Service.
pub(super) const SERVICE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 10);
const PORT: u16 = 53;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Weiche's programs at the client's link.
    Kernel,
    /// Weiche's server.
    Server,
    /// An authoritative server of Debian's.
    Nsd,
}

impl Contender {
    pub(super) const ALL: [Self; 3] = [Self::Kernel, Self::Server, Self::Nsd];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "Weiche, in the kernel",
            Self::Server => "Weiche, its server",
            Self::Nsd => "nsd",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Server => "server",
            Self::Nsd => "nsd",
        }
    }

    /// Whether it can be had here; why not.
    pub(super) fn is_there(self, bench: &Bench) -> anyhow::Result<()> {
        match self {
            Self::Kernel => {
                let help = Command::new(&bench.weiche)
                    .args(["run", "--help"])
                    .output()?;
                let help = String::from_utf8_lossy(&help.stdout);
                ensure!(
                    help.contains("--kernel-dns"),
                    "this weiche has no --kernel-dns"
                );
                Ok(())
            }
            Self::Server => Ok(()),
            Self::Nsd => Nsd::program().map(drop),
        }
    }
}

/// Two namespaces of one contender; they stay while others are measured.
pub(super) struct World {
    pub(super) contender: Contender,
    /// Ends before its namespace does.
    _serving: Serving,
    pub(super) client: Namespace,
    pub(super) node: Namespace,
    /// The process that answers, or that has started those that do.
    pub(super) pid: u32,
}

#[expect(dead_code, reason = "the API server is held, so that it goes on")]
enum Serving {
    Agent(Agent, ApiServer),
    Nsd(Nsd),
}

impl World {
    /// With so many names.
    pub(super) fn new(
        bench: &Bench,
        contender: Contender,
        services: u32,
        processor: usize,
    ) -> anyhow::Result<Self> {
        let label = contender.label();
        let make = |part: &str| bench.lab.namespace(&format!("{label}-{part}"));
        let (client, node) = (make("asker")?, make("answerer")?);
        node.sysctl("net/ipv4/ip_forward", "1")?;
        let (c, n) = (client.name(), node.name());
        node.ip(&format!(
            "link add name {NODE_LINK} netns {n} type veth peer name eth0 netns {c}\n\
             addr add {NODE}/32 dev lo\n\
             link set {NODE_LINK} address 02:00:00:00:00:02 up\n\
             route add {CLIENT}/32 dev {NODE_LINK}\n"
        ))?;
        client.ip(&format!(
            "link set eth0 up\n\
             addr add {CLIENT}/32 dev eth0\n\
             route add {NODE}/32 dev eth0 scope link\n\
             route add default via {NODE} dev eth0\n"
        ))?;
        client.wait_for_link("eth0")?;
        let mut serving = match contender {
            Contender::Nsd => Serving::Nsd(Nsd::start(bench, &node, services, processor)?),
            _ => serve(bench, contender, &node, services, processor)?,
        };
        let pid = match &mut serving {
            Serving::Agent(agent, _) => agent.pid(),
            Serving::Nsd(nsd) => nsd.process.child().id(),
        };
        Ok(Self {
            contender,
            _serving: serving,
            client,
            node,
            pid,
        })
    }

    /// Who is asked.
    pub(super) fn target(&self) -> SocketAddr {
        let address = match self.contender {
            Contender::Kernel => SERVICE,
            Contender::Server | Contender::Nsd => NODE,
        };
        SocketAddr::new(address.into(), PORT)
    }
}

/// An agent that answers.
fn serve(
    bench: &Bench,
    contender: Contender,
    node: &Namespace,
    services: u32,
    processor: usize,
) -> anyhow::Result<Serving> {
    let cluster = &Cluster::new(services, ENDPOINTS);
    let api = agent::serve(node, cluster)?;
    let many = |count: u32| (count * 5 / 4).max(24_576).to_string();
    let (frontends, backends) = (many(2 * services), many(cluster.pods()));
    let listen = NODE.to_string();
    let mut flags = vec!["--edge", "veth*", "--uplink", "none"];
    flags.extend(["--frontends", &frontends, "--backends", &backends]);
    flags.extend(["--dns-listen", &listen, "--dns-upstream", "none"]);
    let mut all = cluster.clone();
    if contender == Contender::Kernel {
        flags.push("--kernel-dns=on");
        api_objects::tell(&api, &Change::Service(Arc::new(dns_service())));
        // One more than the cluster has.
        all.services += 1;
    }
    let mut agent = Agent::start(bench, node, &api, &all, &flags)?;
    let (pid, cpu) = (agent.pid().to_string(), processor.to_string());
    // All of its threads, as the server is one of them.
    let pinned = Command::new("taskset")
        .args(["-a", "-p", "-c", &cpu, &pid])
        .output();
    ensure!(
        pinned.context("starting taskset")?.status.success(),
        "taskset"
    );
    Ok(Serving::Agent(agent, api))
}

/// The Service whose address the kernel answers for.
fn dns_service() -> ServiceObject {
    let name = Name::new("kube-system", "kube-dns");
    let service = objects::service(name, SERVICE.into());
    ServiceObject {
        ports: vec![ServicePort {
            name: "dns".into(),
            protocol: Protocol::Udp,
            port: PORT,
            node_port: 0,
        }],
        ..service
    }
}

/// What a Service of the cluster is called.
pub(super) fn dns_name(number: u32) -> String {
    format!(
        "service-{number}.namespace-{}.svc.cluster.local.",
        number % 100
    )
}
