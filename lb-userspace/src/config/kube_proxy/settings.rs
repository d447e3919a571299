// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every setting that kube-proxy has, and what becomes of it: the one table behind the flags that
//! are accepted, the file that is read, and what is said about both.

use super::read;
use crate::{config::Given, yaml::Tree};
use serde::Serialize;
use std::fmt;

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It means the same here.
    Honoured,
    /// It counts, but means something else, or less.
    Changed,
    /// It says nothing here.
    Ignored,
    /// kube-proxy has none of this name.
    Unknown,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Honoured => "honoured",
            Self::Changed => "changed",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
        })
    }
}

/// Puts a value where it belongs; fails with a sentence that says what would do.
type Set = fn(&mut Given, &Tree) -> Result<(), String>;

/// A field of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// Its name with dots; one that ends in `.*` stands for a group and all below it.
    pub(super) field: &'static str,
    pub(super) fate: Fate,
    /// Why, or what it means here.
    pub(super) note: &'static str,
    pub(super) set: Option<Set>,
}

impl Setting {
    /// Whether a field is this one, or belongs to this group.
    pub(super) fn is_about(&self, field: &str) -> bool {
        self.field == field || self.field.strip_suffix(".*") == Some(field)
    }

    /// Whether it is below a field.
    pub(super) fn is_below(&self, field: &str) -> bool {
        let below = self.field.strip_prefix(field);
        below.is_some_and(|rest| rest.starts_with('.') && rest != ".*")
    }
}

const fn honoured(field: &'static str, set: Set) -> Setting {
    Setting {
        field,
        fate: Fate::Honoured,
        note: "",
        set: Some(set),
    }
}

const fn changed(field: &'static str, note: &'static str, set: Set) -> Setting {
    Setting {
        field,
        fate: Fate::Changed,
        note,
        set: Some(set),
    }
}

const fn ignored(field: &'static str, note: &'static str) -> Setting {
    Setting {
        field,
        fate: Fate::Ignored,
        note,
        set: None,
    }
}

const LOCAL: &str = "where a packet comes in says whether it is local";
const RATE: &str = "three lists and three watches need no limit";
const RULES: &str = "there are no rules of iptables, ipvs or nftables";
const AT_ONCE: &str = "changes are written as they come";
const WINDOWS: &str = "this is Linux";
const LOGS: &str = "logs go to standard error; RUST_LOG says how much";
const FORMAT: &str = "text or json, one object a line; the names in it are Weiche's own";
const FLOWS: &str = "sizes Weiche's own table of flows, of each family";

/// All fields of v1alpha1.
pub(super) const SETTINGS: &[Setting] = &[
    ignored("featureGates.*", "they are those of kube-proxy"),
    honoured("clientConnection.kubeconfig", read::kubeconfig),
    ignored("clientConnection.acceptContentTypes", "JSON is spoken"),
    ignored("clientConnection.contentType", "JSON is spoken"),
    ignored("clientConnection.qps", RATE),
    ignored("clientConnection.burst", RATE),
    changed(
        "logging.verbosity",
        "from 4 on, RUST_LOG is debug if it is not set",
        read::verbosity,
    ),
    changed("logging.format", FORMAT, read::log_format),
    ignored("logging.flushFrequency", LOGS),
    ignored("logging.vmodule", LOGS),
    ignored("logging.options.*", LOGS),
    honoured("hostnameOverride", read::hostname),
    changed(
        "bindAddress",
        "its family alone counts, for the usual addresses of probes and metrics",
        read::bind_address,
    ),
    honoured("healthzBindAddress", read::healthz),
    honoured("metricsBindAddress", read::metrics),
    honoured("bindAddressHardFail", read::hard_fail),
    ignored("enableProfiling", "it is a Go program's"),
    ignored("showHiddenMetricsForVersion", "no metrics are hidden"),
    ignored("mode", "Services are translated by BPF programs"),
    ignored("iptables.*", RULES),
    ignored("ipvs.*", RULES),
    ignored("nftables.*", RULES),
    ignored("winkernel.*", WINDOWS),
    ignored("windowsRunAsService", WINDOWS),
    ignored("detectLocalMode", LOCAL),
    ignored("detectLocal.*", LOCAL),
    ignored("clusterCIDR", LOCAL),
    honoured("nodePortAddresses", read::node_ports),
    ignored("oomScoreAdj", "the priority class of the pod decides"),
    changed("conntrack.maxPerCore", FLOWS, read::max_per_core),
    changed("conntrack.min", FLOWS, read::min),
    honoured("conntrack.tcpEstablishedTimeout", read::established),
    honoured("conntrack.tcpCloseWaitTimeout", read::close_wait),
    ignored(
        "conntrack.tcpBeLiberal",
        "no packet is judged by its sequence numbers",
    ),
    honoured("conntrack.udpTimeout", read::udp),
    honoured("conntrack.udpStreamTimeout", read::udp_stream),
    ignored("configSyncPeriod", "watches tell of every change"),
    ignored("portRange", "kube-proxy does not use it either"),
];

/// A flag of kube-proxy that says nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoredFlag {
    /// Without dashes.
    pub name: &'static str,
    /// Whether it may stand without a value.
    pub is_switch: bool,
    /// Why it is ignored.
    pub note: &'static str,
}

const fn flag(name: &'static str, note: &'static str) -> IgnoredFlag {
    IgnoredFlag {
        name,
        is_switch: false,
        note,
    }
}

const fn switch(name: &'static str, note: &'static str) -> IgnoredFlag {
    IgnoredFlag {
        name,
        is_switch: true,
        note,
    }
}

/// All of them; those that count are flags of `weiche run` itself.
pub const IGNORED_FLAGS: &[IgnoredFlag] = &[
    flag(
        "write-config-to",
        "`weiche import-config` shows what a file means",
    ),
    flag("feature-gates", "they are those of kube-proxy"),
    flag("kube-api-content-type", "JSON is spoken"),
    flag("kube-api-burst", RATE),
    flag("kube-api-qps", RATE),
    switch("profiling", "it is a Go program's"),
    flag("show-hidden-metrics-for-version", "no metrics are hidden"),
    flag("proxy-mode", "Services are translated by BPF programs"),
    flag("iptables-masquerade-bit", RULES),
    switch("iptables-localhost-nodeports", RULES),
    flag("iptables-sync-period", AT_ONCE),
    flag("iptables-min-sync-period", AT_ONCE),
    flag("sync-period", AT_ONCE),
    flag("min-sync-period", AT_ONCE),
    flag("ipvs-sync-period", RULES),
    flag("ipvs-min-sync-period", RULES),
    flag("ipvs-scheduler", RULES),
    flag("ipvs-exclude-cidrs", RULES),
    switch("ipvs-strict-arp", RULES),
    flag("ipvs-tcp-timeout", RULES),
    flag("ipvs-tcpfin-timeout", RULES),
    flag("ipvs-udp-timeout", RULES),
    switch("masquerade-all", RULES),
    flag("detect-local-mode", LOCAL),
    flag("pod-bridge-interface", LOCAL),
    flag("pod-interface-name-prefix", LOCAL),
    flag("cluster-cidr", LOCAL),
    flag("oom-score-adj", "the priority class of the pod decides"),
    switch(
        "conntrack-tcp-be-liberal",
        "no packet is judged by its sequence numbers",
    ),
    flag("config-sync-period", "watches tell of every change"),
    flag("healthz-port", "--healthz-bind-address has the port"),
    flag("metrics-port", "--metrics-bind-address has the port"),
    flag("log-flush-frequency", LOGS),
    flag("vmodule", LOGS),
];
