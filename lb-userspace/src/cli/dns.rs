// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche dns`: asks name servers, and lists the names that the agent answers.

use super::{PinDir, StateDir, output, pods::PodsArgs};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use hickory_proto::rr::{Name as DomainName, RecordType};
use lb_userspace::{
    clock,
    config::dns::DnsAddress,
    datapath::pin::Pins,
    dns::{
        Kept,
        client::{self, Answer},
        foretell::is_answered,
        resolv_conf::ResolvConf,
        zone::{Listed, ListedPort, Target},
    },
    maps::kernel::KernelNames,
    model::Name,
    netns::Netns,
    port_forward::{self, Nobody},
};
use serde::Serialize;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(super) enum DnsCommand {
    /// Ask for one name, as programs here do, and print the answer as dig does.
    #[command(after_long_help = "Examples:\n  \
        weiche dns query web\n  \
        weiche dns query web --from web-1 --manifests manifests\n  \
        weiche dns query _http._tcp.web.default.svc.cluster.local. SRV --server 10.96.0.10")]
    Query(QueryArgs),
    /// Which names a short one may mean here, what became of each, and whether the kernel or the
    /// server answers Pods of this node that ask for it.
    #[command(after_long_help = "Example: weiche dns explain web.default --from web-1")]
    Explain(ExplainArgs),
    /// All Services' names, as the agent last had them; also while it is dead.
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// The name; with a dot at its end it is taken as it is.
    name: String,
    /// The type of record.
    #[arg(default_value = "A", value_parser = parse_kind)]
    kind: RecordType,
    /// Who is asked [default: the first name server of --resolv-conf].
    #[arg(long, value_name = "ADDRESS")]
    server: Option<DnsAddress>,
    /// Where name servers and the search path come from [default: /etc/resolv.conf, that of the
    /// Pod with --from].
    #[arg(long, value_name = "FILE")]
    resolv_conf: Option<PathBuf>,
    /// Ask from where this Pod of this node is, by its name or its address.
    #[arg(long, value_name = "POD | ADDRESS")]
    from: Option<String>,
    #[command(flatten)]
    pods: PodsArgs,
    #[command(flatten)]
    output: output::Output,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    query: QueryArgs,
    #[command(flatten)]
    pins: PinDir,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    state: StateDir,
    #[command(flatten)]
    output: output::Output,
}

fn parse_kind(text: &str) -> Result<RecordType, String> {
    let kind = text.to_ascii_uppercase().parse();
    kind.map_err(|_unknown| "write a type such as A, AAAA, SRV, PTR or TXT".to_owned())
}

pub(super) fn execute(command: &DnsCommand) -> anyhow::Result<()> {
    match command {
        DnsCommand::Query(args) => query(args),
        DnsCommand::Explain(args) => explain(args),
        DnsCommand::List(args) => list(args),
    }
}

/// All that was tried of the names that the given one may mean.
fn tries(args: &QueryArgs) -> anyhow::Result<Vec<Answer>> {
    let place = args.from.as_deref().map(|from| place(args, from));
    let place = place.transpose()?;
    let of_pod = place.as_ref().and_then(Netns::resolv_conf);
    let path = args.resolv_conf.clone().or(of_pod);
    if let (Some(from), None) = (&args.from, &path) {
        bail!("no process of {from} shows its resolv.conf: give one by --resolv-conf");
    }
    let path = path.unwrap_or_else(|| PathBuf::from("/etc/resolv.conf"));
    let (server, names) = plan(args, &path)?;
    let search = || client::search(server, &names, args.kind);
    let tried = place.map_or_else(search, |place| place.run(search));
    tried.with_context(|| format!("asking {server} for {}", args.name))
}

/// Where a Pod is, on this node.
fn place(args: &QueryArgs, from: &str) -> anyhow::Result<Netns> {
    let addresses = match from.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_name) => {
            let name = Name::new(args.pods.namespace(), from);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("setting up the event loop")?;
            let pod = runtime.block_on(port_forward::pod(args.pods.through(None), &name));
            let pod =
                pod.context("looking for the Pod; its address would do for --from as well")?;
            let pod = pod.with_context(|| Nobody::NoPod(name.clone()).to_string())?;
            pod.addresses
        }
    };
    let Some(address) = addresses.first() else {
        bail!("pod {from} has no address yet");
    };
    let place = Netns::of_address(*address).context("looking at this node's namespaces")?;
    place.with_context(|| {
        format!(
            "no network namespace here has {address}: run this as root, on the node where the Pod \
             is"
        )
    })
}

fn plan(args: &QueryArgs, path: &Path) -> anyhow::Result<(SocketAddr, Vec<DomainName>)> {
    let conf = ResolvConf::read(path);
    let conf = conf.with_context(|| format!("reading {}", path.display()))?;
    let first = conf.servers.first().copied();
    let server = args.server.map(|server| server.0).or(first);
    let server = server.with_context(|| {
        format!(
            "{} names no server: say whom to ask by --server",
            path.display()
        )
    })?;
    let names = conf.candidates(&args.name);
    if names.is_empty() {
        bail!(
            "{:?} is no name: labels have 1 to 63 bytes, and dots between",
            args.name
        );
    }
    Ok((server, names))
}

fn query(args: &QueryArgs) -> anyhow::Result<()> {
    let tried = tries(args)?;
    let answer = client::best(&tried).context("nothing was asked")?;
    match args.output.format {
        output::Format::Table => output::text(&answer.to_string()),
        output::Format::Json => output::json(answer),
    }
}

/// A name that was tried.
#[derive(Debug, Serialize)]
struct Tried {
    #[serde(flatten)]
    answer: Answer,
    /// Who answers Pods of this node; none: the kernel's maps cannot be read.
    by: Option<&'static str>,
}

fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let ExplainArgs { query, pins } = args;
    let maps = KernelNames::open(&Pins::new(&pins.pin_dir).current().maps()).ok();
    let tried = tries(query)?.into_iter().map(|answer| Tried {
        by: maps
            .as_ref()
            .and_then(|maps| by(maps, &answer, query.kind).ok()),
        answer,
    });
    output::rows(
        query.output.format,
        ["NAME", "TYPE", "STATUS", "SERVER", "BY", "MEANING"],
        &tried.collect::<Vec<_>>(),
        |Tried { answer, by }| {
            [
                answer.name.clone(),
                answer.kind.clone(),
                answer.status.clone(),
                answer.server.to_string(),
                by.unwrap_or("?").to_owned(),
                meaning(answer),
            ]
        },
    )
}

/// Who answers Pods that ask this.
fn by(maps: &KernelNames, answer: &Answer, kind: RecordType) -> anyhow::Result<&'static str> {
    let query = client::query(&DomainName::from_ascii(&answer.name)?, kind)?;
    let is_kernel = is_answered(maps, answer.server, &query, clock::monotonic_ns())?;
    Ok(if is_kernel { "kernel" } else { "server" })
}

fn meaning(answer: &Answer) -> String {
    let data: Vec<_> = answer
        .answers
        .iter()
        .map(|line| line.data.clone())
        .collect();
    let whose = answer.authorities.first().map(|line| line.name.as_str());
    match (answer.status.as_str(), whose) {
        ("NOERROR", _) if !data.is_empty() => data.join(", "),
        ("NOERROR", _) => format!("the name is there, and has no {}", answer.kind),
        ("NXDOMAIN", Some(zone)) => format!("no such name in {zone}"),
        ("NXDOMAIN", None) => "no such name".to_owned(),
        ("SERVFAIL", _) => "the server cannot tell: no list yet, or nobody answers it".to_owned(),
        ("REFUSED", _) => "the server answers no such questions".to_owned(),
        _ => "see the status".to_owned(),
    }
}

/// A name, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    listed: Listed,
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let folder = &args.state.state_dir;
    let kept = Kept::read(folder).with_context(|| {
        format!(
            "reading names.json in {}: has `weiche run --dns-listen` (with the same --state-dir) \
             run on this node?",
            folder.display()
        )
    })?;
    let rows: Vec<Row> = kept
        .names
        .into_iter()
        .map(|listed| Row {
            name: format!(
                "{}.{}.svc.{}",
                listed.service, listed.namespace, kept.domain
            ),
            listed,
        })
        .collect();
    let header = ["NAME", "LEADS TO", "NAMED PORTS"];
    output::rows(args.output.format, header, &rows, |row| {
        let (target, ports) = cells(&row.listed.leads_to);
        [row.name.clone(), target, ports]
    })
}

fn cells(target: &Target) -> (String, String) {
    let words = |ports: &[ListedPort]| {
        let words = ports.iter();
        let words = words.map(|(name, protocol, number)| format!("{name}:{number}/{protocol}"));
        words.collect::<Vec<_>>().join(" ")
    };
    match target {
        Target::Addresses(addresses, ports) => {
            let addresses = addresses.iter().map(ToString::to_string);
            (addresses.collect::<Vec<_>>().join(" "), words(ports))
        }
        Target::Hosts(hosts) => {
            let each = hosts
                .iter()
                .map(|(name, address, _)| format!("{name}={address}"));
            let ports = hosts.first().map(|(_, _, ports)| words(ports));
            (
                each.collect::<Vec<_>>().join(" "),
                ports.unwrap_or_default(),
            )
        }
        Target::Alias(name) => (name.clone(), String::new()),
    }
}
