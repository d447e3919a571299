// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several nodes, each with an agent of its own and a pod, around one router; and a client beyond
//! it. All agents read the same manifests and have the same seed.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde_json::Value;
use tests::{
    netns::{Lab, Namespace, Pod, Process, RpFilter},
    traffic::Server,
    wait,
    weiche::{Frontend, Weiche},
};

use crate::{
    region::{Ends, VISITOR, connect},
    scene::{PATIENCE, POD_PORT, program},
};

/// One of the nodes.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    pub(crate) addresses: Ends,
    /// Its pod, and what serves there.
    pub(crate) pod: Pod,
    pub(crate) server: Option<Server>,
    weiche: Weiche,
    agent: Option<Process>,
    log: PathBuf,
}

/// All of it.
pub(crate) struct Fleet {
    /// Behind the router; shared with whoever talks there while agents come and go.
    pub(crate) visitor: Arc<Namespace>,
    /// Its link to the visitor is `out0`, those to the nodes `node0`, `node1` and so on.
    pub(crate) router: Namespace,
    pub(crate) machines: Vec<Machine>,
    manifests: PathBuf,
    pub(crate) lab: Lab,
}

impl Fleet {
    /// Makes so many nodes, with this setting of `rp_filter`; no agent runs yet.
    pub(crate) fn set(count: u8, rp_filter: RpFilter) -> anyhow::Result<Self> {
        let lab = Lab::new("fleet")?;
        let [router, visitor] = [lab.namespace("router")?, lab.namespace("visitor")?];
        forwards(&router)?;
        connect(&router, "out0", &visitor, VISITOR)?;
        let manifests = lab.dir().join("manifests");
        fs::create_dir(&manifests)?;
        fs::write(lab.dir().join("seed"), [7; 16])?;
        let weiche = Weiche::new(program()?.as_ref(), &lab)?;
        let mut fleet = Self {
            visitor: Arc::new(visitor),
            router,
            machines: Vec::new(),
            manifests,
            lab,
        };
        for number in 0..count {
            fleet.add_machine(number, &weiche)?;
        }
        for machine in &fleet.machines {
            rp_filter.set(&machine.namespace)?;
        }
        Ok(fleet)
    }

    fn add_machine(&mut self, number: u8, weiche: &Weiche) -> anyhow::Result<()> {
        let name = format!("node-{number}");
        let wide = u16::from(number);
        let addresses = [
            IpAddr::from(Ipv4Addr::new(198, 51, 100 + number, 10)),
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0x100 + wide, 0, 0, 0, 0, 0x10)),
        ];
        let namespace = self.lab.namespace(&name)?;
        forwards(&namespace)?;
        connect(
            &self.router,
            &format!("node{number}"),
            &namespace,
            addresses,
        )?;
        let pod = Pod {
            namespace: self.lab.namespace(&format!("pod-{number}"))?,
            name: format!("pod-{number}"),
            v4: Ipv4Addr::new(10, 245, number, 2),
            v6: Ipv6Addr::new(0xfd00, 0x10, 0x245, wide, 0, 0, 0, 2),
            link: "veth0".to_owned(),
        };
        let pod_ends = [pod.v4.into(), pod.v6.into()];
        connect(&namespace, &pod.link, &pod.namespace, pod_ends)?;
        let [v4, v6] = addresses;
        self.router.ip(&format!(
            "route add 10.245.{number}.0/24 via {v4}\n\
             route add fd00:10:245:{number:x}::/64 via {v6}\n"
        ))?;
        self.write(&name, &node_manifest(&name, addresses))?;
        self.write(&pod.name, &pod_manifest(&pod, &name))?;
        let server = Server::start(&pod, POD_PORT)?;
        self.machines.push(Machine {
            weiche: Weiche {
                pins: weiche.pins.with_file_name(&name),
                state: self.lab.dir().join(format!("state-{number}")),
                ..weiche.clone()
            },
            log: self.lab.dir().join(format!("{name}.log")),
            name,
            namespace,
            addresses,
            pod,
            server: Some(server),
            agent: None,
        });
        Ok(())
    }

    /// Writes a manifest that all agents read.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let draft = self.manifests.join(format!("{name}.draft"));
        fs::write(&draft, text)?;
        fs::rename(&draft, self.manifests.join(format!("{name}.yaml")))?;
        Ok(())
    }

    /// Starts the agents of all nodes with further flags, and waits until each has worked in all
    /// manifests.
    pub(crate) fn start_agents(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        let seed = self.lab.dir().join("seed");
        for machine in &mut self.machines {
            machine.start_agent(&self.manifests, &seed, flags)?;
        }
        Ok(())
    }

    /// Everything that the agents say, for a test that fails.
    pub(crate) fn last_words(&self) -> String {
        let words = self.machines.iter().map(Machine::last_words);
        words.collect::<Vec<_>>().join("\n")
    }

    /// Has the router send these networks to a node, whoever had them before.
    pub(crate) fn lead(&self, networks: &[&str], to: usize) -> anyhow::Result<()> {
        let [v4, v6] = self.machines[to].addresses;
        let lines = networks.iter().map(|network| {
            let via = if network.contains(':') { v6 } else { v4 };
            format!("route replace {network} via {via}\n")
        });
        self.router.ip(&lines.collect::<String>())
    }
}

impl Machine {
    fn start_agent(&mut self, manifests: &Path, seed: &Path, flags: &[&str]) -> anyhow::Result<()> {
        let mut command = self.namespace.command(&self.weiche.program);
        command.arg("run").arg("--manifests").arg(manifests);
        command.args(["--edge", "veth*", "--uplink", "eth0"]);
        command.args(["--node-name", &self.name]);
        command.arg("--seed-file").arg(seed);
        command.args(flags).envs(self.weiche.variables());
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stderr(log.try_clone()?).stdout(log);
        let mut agent = Process::spawn(&mut command)?;
        let pid = u64::from(agent.child().id());
        let done = wait::until("an agent to be in charge", PATIENCE, || {
            if let Ok(Some(status)) = agent.child().try_wait() {
                return Some(Err(status));
            }
            self.weiche.is_in_charge(pid).then_some(Ok(()))
        });
        self.agent = Some(agent);
        match done.with_context(|| self.last_words())? {
            Ok(()) => Ok(()),
            Err(status) => bail!("the agent has ended with {status}: {}", self.last_words()),
        }
    }

    /// The state of each of its flows and the backend, as `weiche flow list` says them.
    pub(crate) fn flows(&self) -> anyhow::Result<Vec<(String, String)>> {
        let rows: Vec<Value> = self.weiche.list(&["flow", "list"])?;
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let both = |row| (text(row, "state"), text(row, "backend"));
        Ok(rows.iter().map(both).collect())
    }

    /// Kills its agent as a crash would.
    pub(crate) fn kill_agent(&mut self) -> anyhow::Result<()> {
        let mut agent = self.agent.take().context("no agent")?;
        agent.signal(Signal::KILL)?;
        agent.wait()?;
        Ok(())
    }

    /// Waits until every address of the Service leads to so many backends here.
    pub(crate) fn wait_for_backends(&self, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} backends on {}", self.name);
        let done = wait::until(&what, PATIENCE, || {
            let frontends = self.weiche.frontends().ok()?;
            let complete = |frontend: &Frontend| frontend.backends.len() == count;
            (!frontends.is_empty() && frontends.iter().all(complete)).then_some(())
        });
        done.with_context(|| self.last_words())
    }

    /// How often packets have ended here at a hook for a reason, by its label.
    pub(crate) fn counted(&self, hook: &str, reason: &str) -> anyhow::Result<u64> {
        Ok(self.weiche.ends()?.count(hook, reason))
    }

    /// What its agents have said so far, and what packets have ended for.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let mut status = Command::new(&self.weiche.program);
        let status = status.arg("status").envs(self.weiche.variables()).output();
        let status = status.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        format!("{} says:\n{text}\n{status:?}", self.name)
    }
}

fn forwards(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.sysctl("net/ipv4/ip_forward", "1")?;
    namespace.sysctl("net/ipv6/conf/all/forwarding", "1")
}

fn node_manifest(name: &str, [v4, v6]: Ends) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus:\n  addresses:\n  \
         - {{type: InternalIP, address: '{v4}'}}\n  \
         - {{type: InternalIP, address: '{v6}'}}\n"
    )
}

fn pod_manifest(pod: &Pod, node: &str) -> String {
    let Pod { name, v4, v6, .. } = pod;
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: web, pod: {name}}}}}\n\
         spec: {{nodeName: {node}, containers: [{{name: server, image: none}}]}}\nstatus:\n  \
         phase: Running\n  podIP: '{v4}'\n  podIPs: [{{ip: '{v4}'}}, {{ip: '{v6}'}}]\n  \
         conditions: [{{type: Ready, status: 'True'}}]\n"
    )
}
