// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who of the host's netfilter would see a packet that is sent on. Changes nothing.
//!
//! The kernel tells whose functions are called (`uapi/linux/netfilter/nfnetlink_hook.h`), whoever
//! has registered them: nftables, iptables of either kind, conntrack, IPVS, programs. Where it
//! cannot, because it was built without `CONFIG_NETFILTER_NETLINK_HOOK`, each part of Linux that
//! registers some is asked ([`registrars`]).

mod registrars;

use super::netlink::{Question, ask, attribute, attributes};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rustix::io::Errno;
use std::{collections::BTreeSet, io};

/// `NFNL_SUBSYS_HOOK` and `NFNL_MSG_HOOK_GET`.
const GET_HOOKS: u16 = 12 << 8;
/// `struct nfgenmsg`.
const HEADER: usize = 4;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`: families with the hooks that a packet meets which is sent on.
const FAMILIES: [(u8, &str); 2] = [(2, "IPv4"), (10, "IPv6")];
/// `NF_INET_PRE_ROUTING`, `NF_INET_FORWARD`, `NF_INET_POST_ROUTING`.
const HOOKS: [(u32, &str); 3] = [(0, "prerouting"), (2, "forward"), (4, "postrouting")];
/// `NFPROTO_NETDEV`, whose hooks are interfaces'.
const NETDEV: u8 = 5;

/// A link of which packets skip the hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Whether what is sent to it skips them as well, and not only what comes from it.
    pub(super) is_pods: bool,
}

/// Who would see it, in words; empty = nobody.
pub(super) fn seen_by(links: &[Link<'_>]) -> io::Result<BTreeSet<String>> {
    match hooked(links) {
        Err(error) if is_absent(&error) => registrars::active(),
        other => other,
    }
}

/// The same, from the kernel's own list.
fn hooked(links: &[Link<'_>]) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (family, name) in FAMILIES {
        for (hook, hook_name) in HOOKS {
            for function in functions(family, hook, None)? {
                found.insert(format!("{name} {hook_name}: {function}"));
            }
        }
    }
    for link in links {
        // `NF_NETDEV_INGRESS`, `NF_NETDEV_EGRESS`.
        for (hook, name) in [(0, "ingress"), (1, "egress")] {
            if hook == 1 && !link.is_pods {
                continue;
            }
            match functions(NETDEV, hook, Some(link.name)) {
                Ok(functions) => {
                    let line = |function| format!("{name} of {}: {function}", link.name);
                    found.extend(functions.into_iter().map(line));
                }
                // It went meanwhile, or the kernel has no such hook.
                Err(error) if is_nowhere(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// What is called at a hook.
fn functions(family: u8, hook: u32, device: Option<&str>) -> io::Result<Vec<String>> {
    /// `NFNLA_HOOK_HOOKNUM`.
    const NUMBER: u16 = 1;
    /// `NFNLA_HOOK_DEV`.
    const DEVICE: u16 = 3;
    /// `NFNLA_HOOK_FUNCTION_NAME`.
    const FUNCTION: u16 = 4;
    let mut body = vec![family, 0, 0, 0];
    body.extend(attribute(NUMBER, &hook.to_be_bytes()));
    if let Some(device) = device {
        body.extend(attribute(DEVICE, &[device.as_bytes(), &[0]].concat()));
    }
    let answers = ask(Question {
        protocol: NETLINK_NETFILTER,
        kind: GET_HOOKS,
        is_dump: true,
        body: &body,
    })?;
    let name = |answer: &Vec<u8>| {
        let attributes = attributes(answer, HEADER);
        let name = attributes.iter().find(|(number, _)| *number == FUNCTION);
        let name = name.map(|(_, name)| String::from_utf8_lossy(name).into_owned());
        let name = name.unwrap_or_else(|| "a function without a name".to_owned());
        name.trim_end_matches('\0').to_owned()
    };
    Ok(answers.iter().map(name).collect())
}

/// What nfnetlink says for a subsystem that is not there.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::PROTONOSUPPORT)
    )
}

fn is_nowhere(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT)
    )
}
