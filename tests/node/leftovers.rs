// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy's rules are removed when that is asked for, and nobody else's are.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use tests::netns::{Lab, Namespace, Node, RpFilter};

/// Tables of kube-proxy's mode nftables and of others, some of which are called much alike.
const NFT: &str = "\
table ip kube-proxy {
    map service-ips {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.96.0.1 . tcp . 443 : goto service-AAAA }
    }
    chain service-AAAA {
        meta l4proto tcp dnat to 10.0.0.1:6443
    }
    chain nat-prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr . meta l4proto . th dport vmap @service-ips
    }
}
table ip6 kube-proxy {
    chain services {
    }
}
table inet kube-proxy {
    chain mine {
    }
}
table ip kube-proxy-too {
    chain mine {
        type filter hook input priority 0;
    }
}
table ip mine {
    chain KUBE-SERVICES {
    }
}
";

/// What iptables mode leaves, in tables that it shares with the kubelet and others.
const IPTABLES: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-ERIFXISQEP7F7OF4 - [0:0]
:KUBE-SEP-4T6FBSNQMXVYDHHC - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-SVC-MINE - [0:0]
:CNI-HOSTPORT - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -m comment --comment \"do not -j KUBE-SERVICES\" -j CNI-HOSTPORT
-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 53 -j KUBE-SVC-ERIFXISQEP7F7OF4
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-ERIFXISQEP7F7OF4 -j KUBE-SEP-4T6FBSNQMXVYDHHC
-A KUBE-SEP-4T6FBSNQMXVYDHHC -s 10.0.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-4T6FBSNQMXVYDHHC -p tcp -m tcp -j DNAT --to-destination 10.0.0.5:53
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A CNI-HOSTPORT -p tcp -m tcp --dport 8080 -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:FORWARD ACCEPT [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-A KUBE-FIREWALL -s 192.0.2.1/32 -j DROP
COMMIT
";

/// Runs a program in the namespace with this on its standard input.
fn run(namespace: &Namespace, program: &[&str], input: &str) -> anyhow::Result<String> {
    let mut command: Command = namespace.command(program[0]);
    command.args(&program[1..]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {program:?}"))?;
    child
        .stdin
        .take()
        .context("no pipe")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program:?}: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

fn weiche(namespace: &Namespace, arguments: &[&str]) -> anyhow::Result<String> {
    let program = crate::scene::program()?
        .into_string()
        .ok()
        .context("a path in UTF-8")?;
    run(namespace, &[&[program.as_str()], arguments].concat(), "")
}

fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn tables_of_nftables_go_and_those_of_others_stay() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let here = &node.namespace;
    run(here, &["nft", "-f", "-"], NFT)?;
    let before = run(here, &["nft", "list", "ruleset"], "")?;
    let listed = weiche(here, &["cleanup", "--kube-proxy", "--dry-run"])?;
    assert_eq!(count(&listed, "would remove nft table ip"), 2, "{listed}");
    assert_eq!(
        run(here, &["nft", "list", "ruleset"], "")?,
        before,
        "a dry run"
    );
    // kube-proxy's own flag does the same.
    let removed = weiche(here, &["run", "--cleanup", "--proxy-mode=nftables"])?;
    assert_eq!(count(&removed, "removing nft table ip"), 2, "{removed}");
    let tables = run(here, &["nft", "list", "tables"], "")?;
    let left = "table inet kube-proxy\ntable ip kube-proxy-too\ntable ip mine\n";
    assert_eq!(tables, left);
    let again = weiche(here, &["cleanup", "--kube-proxy"])?;
    ensure!(again.contains("nothing of kube-proxy was found"), "{again}");
    Ok(())
}

#[test]
fn chains_of_iptables_go_and_those_of_others_stay() -> anyhow::Result<()> {
    let lab = Lab::new("test")?;
    let node = Node::new(&lab, RpFilter::Off)?;
    let here = &node.namespace;
    for family in ["iptables", "ip6tables"] {
        let rules = if family == "iptables" {
            IPTABLES.to_owned()
        } else {
            let rules = IPTABLES.replace("10.96.0.10/32", "fd00::10/128");
            let rules = rules.replace("10.0.0.5/32", "fd00::5/128");
            let rules = rules.replace("10.0.0.5:53", "[fd00::5]:53");
            rules.replace("192.0.2.1/32", "2001:db8::1/128")
        };
        run(here, &[&format!("{family}-nft-restore")], &rules)?;
    }
    let listed = weiche(here, &["cleanup", "--kube-proxy", "--dry-run"])?;
    assert_eq!(
        count(&listed, "would remove iptables-nft -t nat: chain"),
        6,
        "{listed}"
    );
    assert_eq!(
        count(&listed, "would remove ip6tables-nft -t nat: rule"),
        3,
        "{listed}"
    );
    weiche(here, &["cleanup", "--kube-proxy"])?;
    for family in ["iptables", "ip6tables"] {
        let left = run(here, &[&format!("{family}-nft-save")], "")?;
        let kubes = left.lines().filter(|line| line.starts_with(":KUBE-"));
        let mut kubes: Vec<_> = kubes.filter_map(|line| line.split(' ').next()).collect();
        kubes.sort_unstable();
        assert_eq!(
            kubes,
            [":KUBE-FIREWALL", ":KUBE-KUBELET-CANARY", ":KUBE-SVC-MINE"]
        );
        let rules: Vec<_> = left.lines().filter(|line| line.starts_with("-A")).collect();
        assert_eq!(rules.len(), 4, "{left}");
        assert_eq!(count(&left, "-j CNI-HOSTPORT"), 1, "{left}");
        assert_eq!(count(&left, "-j KUBE-FIREWALL"), 1, "{left}");
    }
    let again = weiche(here, &["cleanup", "--kube-proxy"])?;
    ensure!(again.contains("nothing of kube-proxy was found"), "{again}");
    Ok(())
}
