// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scene of most tests here: one client, some backends behind a Service of both families and
//! protocols, and the real agent. What differs from it is said in the test.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use aya::programs::ProgramInfo;
use lb_userspace::datapath::pin::Pins;
use rustix::process::Signal;
use serde_json::Value;
use tests::{
    guest,
    netns::{Lab, Node, Pod, Process, RpFilter},
    traffic::{Protocol, Report, Route, Server},
    wait,
    weiche::{Frontend, Weiche},
};

/// The Service's IPv4 address.
pub(crate) const V4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 80);
/// The Service's IPv6 address.
pub(crate) const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x80);
/// Addresses of another Service of the same pods.
pub(crate) const OTHER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 81)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x81)),
];
/// The Service's port; its pods serve [`POD_PORT`].
pub(crate) const PORT: u16 = 80;
/// The pods' port.
pub(crate) const POD_PORT: u16 = 8080;
/// For the agent to do what it was told; under emulation (tests/kernels) that takes long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is Ready.
    Ready,
    /// It is not.
    NotReady,
    /// It is to end, and Ready until then.
    Terminating,
}

/// All of it; goes away as a whole.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) servers: Vec<Server>,
    pub(crate) backends: Vec<Pod>,
    pub(crate) client: Pod,
    pub(crate) node: Node,
    pub(crate) weiche: Weiche,
    agent: Option<Process>,
    manifests: PathBuf,
    /// Where the API server is, in cluster mode.
    kubeconfig: Option<PathBuf>,
    pub(crate) lab: Lab,
}

impl Scene {
    /// Sets the scene with backends `web-1`, `web-2` and so on; the agent does not run yet.
    pub(crate) fn set(backends: u16, rp_filter: RpFilter) -> anyhow::Result<Self> {
        let lab = Lab::new("test")?;
        let node = Node::new(&lab, rp_filter)?;
        let program = program()?;
        let manifests = lab.dir().join("manifests");
        fs::create_dir(&manifests)?;
        let mut scene = Self {
            servers: Vec::new(),
            backends: Vec::new(),
            client: node.add_pod(&lab, "client", 2)?,
            node,
            weiche: Weiche::new(program.as_ref(), &lab)?,
            agent: None,
            manifests,
            kubeconfig: None,
            lab,
        };
        // With the same seed, the same flows go to the same backends in every run.
        fs::write(scene.lab.dir().join("seed"), [7; 16])?;
        scene.write("service", &service("web", [V4.into(), V6.into()], ""))?;
        for _backend in 0..backends {
            scene.add_backend()?;
        }
        Ok(scene)
    }

    /// The same with the agent, once it has programmed the Service.
    pub(crate) fn with_agent(backends: u16, flags: &[&str]) -> anyhow::Result<Self> {
        let mut scene = Self::set(backends, RpFilter::Off)?;
        scene.start_agent(flags)?;
        scene.wait_for_backends(usize::from(backends))?;
        Ok(scene)
    }

    /// Adds one more backend, served and in the manifests.
    pub(crate) fn add_backend(&mut self) -> anyhow::Result<()> {
        let number = u16::try_from(self.backends.len() + 1)?;
        let name = format!("web-{number}");
        let pod = self.node.add_pod(&self.lab, &name, 10 + number)?;
        self.servers.push(Server::start(&pod, POD_PORT)?);
        self.label(&pod, "web")?;
        self.backends.push(pod);
        Ok(())
    }

    /// Writes a pod's manifest with this label `app`; the Service selects `web`.
    pub(crate) fn label(&self, pod: &Pod, app: &str) -> anyhow::Result<()> {
        self.write(&pod.name, &pod_manifest(pod, app, Life::Ready))
    }

    /// Writes a pod's manifest with where it is in its life.
    pub(crate) fn set_life(&self, pod: &Pod, life: Life) -> anyhow::Result<()> {
        self.write(&pod.name, &pod_manifest(pod, "web", life))
    }

    /// Takes a pod's manifest away.
    pub(crate) fn forget(&self, pod: &Pod) -> anyhow::Result<()> {
        fs::remove_file(self.manifests.join(format!("{}.yaml", pod.name)))
            .context("removing a manifest")
    }

    /// From now on, a client keeps its backend until it has begun no flow for so long.
    pub(crate) fn stick(&self, seconds: u32) -> anyhow::Result<()> {
        let stick = format!(
            "  sessionAffinity: ClientIP\n  \
             sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}\n"
        );
        self.write("service", &service("web", [V4.into(), V6.into()], &stick))
    }

    /// Adds a Service of the same pods at [`OTHER`], and waits until it leads to so many.
    pub(crate) fn add_service(&self, backends: usize) -> anyhow::Result<()> {
        self.write("other", &service("other", OTHER, ""))?;
        self.wait_for_backends_of("default/other", backends)
            .map(drop)
    }

    /// From now on, agents follow this API server instead of manifests.
    pub(crate) fn follow_cluster(&mut self, kubeconfig: PathBuf) {
        self.kubeconfig = Some(kubeconfig);
    }

    /// Starts the agent with further flags.
    pub(crate) fn launch_agent(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        let mut command = match &self.kubeconfig {
            Some(kubeconfig) => {
                let mut command = self.weiche.agent(&self.node, &[]);
                command.arg("--kubeconfig").arg(kubeconfig);
                command
            }
            None => self.weiche.agent(&self.node, &[&self.manifests]),
        };
        command.arg("--seed-file").arg(self.lab.dir().join("seed"));
        if !flags.iter().any(|flag| flag.starts_with(DIRECT_DELIVERY)) {
            command.arg(format!("{DIRECT_DELIVERY}={}", direct_delivery()));
        }
        let mut options = File::options();
        let log = options.create(true).append(true).open(self.log())?;
        command.args(flags).stderr(log.try_clone()?).stdout(log);
        let agent = self.agent.insert(Process::spawn(&mut command)?);
        guest::hurry(agent.child().id())
    }

    /// Starts the agent with further flags and waits until it has worked in all manifests.
    pub(crate) fn start_agent(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        self.launch_agent(flags)?;
        let mut agent = self.agent.take().context("no agent")?;
        let pid = u64::from(agent.child().id());
        let done = wait::until("the agent to be in charge", PATIENCE, || {
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

    /// Kills the agent as a crash would.
    pub(crate) fn kill_agent(&mut self) -> anyhow::Result<()> {
        let mut agent = self.agent.take().context("no agent")?;
        agent.signal(Signal::KILL)?;
        agent.wait()?;
        Ok(())
    }

    /// Lets the pinned programs pass for those of another version.
    pub(crate) fn disown_programs(&self) -> anyhow::Result<()> {
        let mark = Pins::new(&self.weiche.pins).current().programs();
        Ok(fs::remove_file(mark.join("object"))?)
    }

    /// Removes a map's pin, as somebody who tidies up might.
    pub(crate) fn lose_a_map(&self) -> anyhow::Result<()> {
        let maps = Pins::new(&self.weiche.pins).current().maps();
        Ok(fs::remove_file(maps.join("FRAGMENTS_V4"))?)
    }

    /// The numbers of the pinned programs.
    pub(crate) fn program_ids(&self) -> anyhow::Result<Vec<u32>> {
        let programs = Pins::new(&self.weiche.pins).current().programs();
        let mut ids = Vec::new();
        for entry in fs::read_dir(programs)? {
            let entry = entry?;
            if !entry.file_type()?.is_symlink() {
                ids.push(ProgramInfo::from_pin(entry.path())?.id());
            }
        }
        Ok(ids)
    }

    /// Waits until every frontend of the Service leads to so many backends.
    pub(crate) fn wait_for_backends(&self, count: usize) -> anyhow::Result<Vec<Frontend>> {
        self.wait_for_backends_of("default/web", count)
    }

    fn wait_for_backends_of(&self, service: &str, count: usize) -> anyhow::Result<Vec<Frontend>> {
        let what = format!("4 frontends of {service} with {count} backends each");
        let done = wait::until(&what, PATIENCE, || {
            let mut frontends = self.weiche.frontends().ok()?;
            frontends.retain(|frontend| frontend.object() == service);
            let complete = |frontend: &Frontend| frontend.backends.len() == count;
            (frontends.len() == 4 && frontends.iter().all(complete)).then_some(frontends)
        });
        done.with_context(|| self.last_words())
    }

    /// From the client to the Service, in both families and protocols.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        let (v4, v6) = (self.client.v4.into(), self.client.v6.into());
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (from, address) in [(v4, IpAddr::from(V4)), (v6, IpAddr::from(V6))] {
                let target = SocketAddr::new(address, PORT);
                routes.push(Route {
                    protocol,
                    from,
                    target,
                });
            }
        }
        routes
    }

    /// What `weiche status` says.
    pub(crate) fn status(&self) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.weiche.program);
        command.args(["status", "-o", "json"]);
        let output = command.envs(self.weiche.variables()).output();
        let output = output.context("starting weiche")?;
        serde_json::from_slice(&output.stdout).context("reading the status")
    }

    /// How often packets have ended at a hook for a reason, by its label.
    pub(crate) fn counted(&self, hook: &str, reason: &str) -> anyhow::Result<u64> {
        let status = self.status()?;
        let mut counts = status["packets"].as_array().into_iter().flatten();
        let count = counts.find(|count| count["hook"] == hook && count["reason"] == reason);
        Ok(count.map_or(0, |count| count["packets"].as_u64().unwrap_or(0)))
    }

    /// That no flow failed, and that each message of each flow was answered exactly once.
    pub(crate) fn check(&self, report: &Report) -> anyhow::Result<()> {
        if !report.failures.is_empty() {
            let some = report.failures.iter().take(10);
            let some = some.fold(String::new(), |text, line| format!("{text}\n  {line}"));
            bail!("{} flows failed, such as{some}", report.failures.len());
        }
        report.join(&self.servers.iter().collect::<Vec<_>>())
    }

    /// Writes a manifest.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let draft = self.manifests.join(format!("{name}.draft"));
        fs::write(&draft, text)?;
        fs::rename(&draft, self.manifests.join(format!("{name}.yaml")))?;
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.lab.dir().join("agent.log")
    }

    /// What the agents have said so far.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        format!("the agent says:\n{text}")
    }
}

const DIRECT_DELIVERY: &str = "--direct-delivery";

/// How packets travel in this run of the suite, where a test does not say: through the host's
/// stack, or past it.
pub(crate) fn direct_delivery() -> String {
    std::env::var("WEICHE_DIRECT_DELIVERY").unwrap_or_else(|_| "off".to_owned())
}

/// The program under test.
pub(crate) fn program() -> anyhow::Result<std::ffi::OsString> {
    std::env::var_os("WEICHE_BIN").map_or_else(beside_tests, Ok)
}

fn beside_tests() -> anyhow::Result<std::ffi::OsString> {
    // target/debug/deps/node-HASH
    let this = std::env::current_exe()?;
    let target = this.ancestors().nth(2).context("no target folder")?;
    Ok(target.join("weiche").into())
}

/// A Service's manifest; `more` are further lines of its `spec`.
fn service(name: &str, [v4, v6]: [IpAddr; 2], more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  \
         clusterIPs: ['{v4}', '{v6}']\n  clusterIP: '{v4}'\n  \
         ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n  \
         selector: {{app: web}}\n  ports:\n  \
         - {{name: tcp, port: {PORT}, targetPort: {POD_PORT}}}\n  \
         - {{name: udp, port: {PORT}, targetPort: {POD_PORT}, protocol: UDP}}\n{more}"
    )
}

fn pod_manifest(pod: &Pod, app: &str, life: Life) -> String {
    let Pod { name, v4, v6, .. } = pod;
    let mut text =
        format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {app}}}\n");
    if life == Life::Terminating {
        text.push_str("  deletionTimestamp: '2026-01-01T00:00:00Z'\n");
    }
    let ready = if life == Life::NotReady {
        "False"
    } else {
        "True"
    };
    let node = Node::NAME;
    // Writing to a String cannot fail.
    let _written = write!(
        text,
        "spec:\n  nodeName: {node}\n  containers: [{{name: server, image: none}}]\n\
         status:\n  phase: Running\n  podIP: '{v4}'\n  podIPs: [{{ip: '{v4}'}}, {{ip: '{v6}'}}]\n  \
         conditions: [{{type: Ready, status: '{ready}'}}]\n"
    );
    text
}
