// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whoever registers functions with netfilter, where the kernel does not list them: every part of
//! Linux that does, asked one by one. What is not of Linux could be any, so a kernel that has
//! loaded such is not believed.

use crate::{
    datapath::kernel::netfilter_programs,
    delivery::netlink::{Question, ask, attributes},
};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use std::{collections::BTreeSet, fs, io};

/// `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_GETCHAIN`.
const GET_CHAINS: u16 = 10 << 8 | 4;
/// The same with `NFT_MSG_GETFLOWTABLE`.
const GET_FLOW_TABLES: u16 = 10 << 8 | 0x17;
/// `struct nfgenmsg`.
const HEADER: usize = 4;

/// Files that name what iptables' own kind has registered, of each family; `ip_vs` lists itself.
const LISTS: [(&str, &str, usize); 3] = [
    (
        "/proc/thread-self/net/ip_tables_names",
        "iptables' table",
        0,
    ),
    (
        "/proc/thread-self/net/ip6_tables_names",
        "ip6tables' table",
        0,
    ),
    // A headline of three lines is always there.
    ("/proc/thread-self/net/ip_vs", "IPVS:", 3),
];

/// `TAINT_OOT_MODULE`, `TAINT_PROPRIETARY_MODULE`, `TAINT_FORCED_MODULE`
/// (`Documentation/admin-guide/tainted-kernels.rst`).
const NOT_OF_LINUX: u64 = 1 << 12 | 1 | 1 << 1;

const UNNAMED: &str = "a BPF program may, and we may not ask which there are";

/// Who is there, in words.
pub(super) fn active() -> io::Result<BTreeSet<String>> {
    let mut found = chains()?;
    if !of_nftables(GET_FLOW_TABLES)?.is_empty() {
        found.insert("a flow table of nftables".to_owned());
    }
    for (path, name, headline) in LISTS {
        // None where nobody has loaded it.
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().skip(headline);
        found.extend(lines.map(|line| format!("{name} {}", line.trim())));
    }
    let on = |path: &str| fs::read_to_string(path).unwrap_or_default().trim() == "Y";
    if on("/sys/module/nf_conntrack/parameters/enable_hooks") {
        found.insert("conntrack (nf_conntrack.enable_hooks)".to_owned());
    }
    // Both register with every network namespace, to label packets.
    let modules = fs::read_to_string("/sys/kernel/security/lsm");
    // Unreadable where securityfs is not mounted: then what each of them leaves elsewhere counts.
    let modules = modules.unwrap_or_else(|_| {
        let there = |path, name| fs::metadata(path).map_or("", |_| name);
        let selinux = there("/sys/fs/selinux/enforce", "selinux");
        format!("{selinux},{}", there("/sys/fs/smackfs/load2", "smack"))
    });
    let labels = modules.trim().split(',');
    let labels = labels.filter(|name| ["selinux", "smack"].contains(name));
    found.extend(labels.map(|name| format!("security module {name}")));
    match netfilter_programs() {
        Ok(0) => {}
        Ok(_) => drop(found.insert("a BPF program of netfilter's kind".to_owned())),
        Err(_) => drop(found.insert(UNNAMED.to_owned())),
    }
    let tainted = fs::read_to_string("/proc/sys/kernel/tainted")?;
    if tainted.trim().parse().unwrap_or(NOT_OF_LINUX) & NOT_OF_LINUX != 0 {
        let line = "a module that is not of Linux may be, and this kernel does not list who is";
        found.insert(line.to_owned());
    }
    Ok(found)
}

/// Chains of nftables that begin at a hook; iptables' newer kind makes such as well.
fn chains() -> io::Result<BTreeSet<String>> {
    /// `NFTA_CHAIN_TABLE`.
    const TABLE: u16 = 1;
    /// `NFTA_CHAIN_NAME`.
    const NAME: u16 = 3;
    /// `NFTA_CHAIN_HOOK`.
    const HOOK: u16 = 4;
    let chain = |answer: Vec<u8>| {
        let attributes = attributes(&answer, HEADER);
        let find = |wanted| attributes.iter().find(|(number, _)| *number == wanted);
        find(HOOK)?;
        let text = |wanted| {
            let value = find(wanted).map(|(_, value)| *value).unwrap_or_default();
            String::from_utf8_lossy(value)
                .trim_end_matches('\0')
                .to_owned()
        };
        Some(format!("nftables' chain {} {}", text(TABLE), text(NAME)))
    };
    Ok(of_nftables(GET_CHAINS)?
        .into_iter()
        .filter_map(chain)
        .collect())
}

fn of_nftables(kind: u16) -> io::Result<Vec<Vec<u8>>> {
    // `NFPROTO_UNSPEC`: of all families.
    let answers = ask(Question {
        protocol: NETLINK_NETFILTER,
        kind,
        is_dump: true,
        body: &[0, 0, 0, 0],
    });
    match answers {
        // Nobody has loaded nftables, or nobody can.
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::INVAL | Errno::PROTONOSUPPORT)
            ) =>
        {
            Ok(Vec::new())
        }
        other => other,
    }
}
