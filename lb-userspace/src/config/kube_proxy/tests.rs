// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files as kubeadm writes them, and what may be wrong in one.

use super::*;
use crate::config::{Config, LogFormat};
use std::collections::BTreeMap;

/// What kubeadm 1.3x writes, with some values set.
const KUBEADM: &str = r#"apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: 200000
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: 12h0m0s
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  strictARP: false
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: 0.0.0.0:10249
mode: ""
nftables:
  masqueradeAll: false
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
"#;

fn file(text: &str) -> Result<File, BadFile> {
    File::parse(Path::new("f.yaml"), text)
}

fn with(lines: &str) -> Result<File, BadFile> {
    file(&format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n{lines}"
    ))
}

#[test]
fn kubeadm_s_file_is_understood() {
    let file = file(KUBEADM).unwrap();
    let fields = file.fields();
    let fates: BTreeMap<_, _> = fields
        .iter()
        .map(|it| (it.field.as_str(), it.fate))
        .collect();
    for (field, fate) in [
        ("clientConnection.kubeconfig", Fate::Honoured),
        ("clientConnection.qps", Fate::Ignored),
        ("conntrack.min", Fate::Changed),
        ("conntrack.tcpEstablishedTimeout", Fate::Honoured),
        ("metricsBindAddress", Fate::Honoured),
        ("iptables", Fate::Ignored),
        ("logging.options", Fate::Ignored),
        ("mode", Fate::Ignored),
    ] {
        assert_eq!(fates.get(field), Some(&fate), "{field}: {fields:?}");
    }
    assert!(
        !fates.contains_key("conntrack.maxPerCore"),
        "null says nothing"
    );
    let unknown: Vec<_> = fields
        .iter()
        .filter(|it| it.fate == Fate::Unknown)
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    let mut given = Given {
        timeouts: lb_common::wire::Timeouts::default(),
        pin_dir: "/p".into(),
        state_dir: "/s".into(),
        sizes: crate::datapath::Sizes {
            frontends: 1,
            backends: 2,
            slots: 1,
            half_open: 1,
            affinity: 1,
            ..crate::datapath::Sizes::default()
        },
        ..Given::default()
    };
    let before = given.timeouts;
    file.apply(&mut given).unwrap();
    assert_eq!(
        given.kubeconfig.as_deref(),
        Some(Path::new("/var/lib/kube-proxy/kubeconfig.conf"))
    );
    assert_eq!(given.timeouts.established_ns, 12 * 3_600_000_000_000);
    assert_eq!(
        given.timeouts.udp_unanswered_ns, before.udp_unanswered_ns,
        "0 leaves it"
    );
    let config = Config::new(given).unwrap();
    let servers = "probes 0.0.0.0:10256, metrics 0.0.0.0:10249";
    assert_eq!(config.servers.to_string(), servers);
    assert!(config.sizes.flows >= 200_000);
}

#[test]
fn unknown_fields_are_named_with_their_line() {
    let file = with("hostNameOverride: x\nconntrack:\n  minn: 5\nmode: iptables\n").unwrap();
    let found: Vec<_> = file
        .fields()
        .into_iter()
        .map(|it| (it.field, it.line, it.fate))
        .collect();
    assert_eq!(
        found,
        [
            ("hostNameOverride".to_owned(), 3, Fate::Unknown),
            ("conntrack.minn".to_owned(), 5, Fate::Unknown),
            ("mode".to_owned(), 6, Fate::Ignored),
        ]
    );
    let said = file.warning().unwrap();
    assert!(
        said.contains("unknown: hostNameOverride (line 3), conntrack.minn (line 5)"),
        "{said}"
    );
    assert_eq!(with("hostnameOverride: x\n").unwrap().warning(), None);
}

#[test]
fn flags_that_win_over_the_file_do() {
    let lines = "hostnameOverride: from-file\nlogging: {verbosity: 2, format: json}\n";
    let file = with(lines).unwrap();
    let mut given = Given {
        hostname_override: Some("from-flag".into()),
        verbosity: Some(5),
        log_format: Some(LogFormat::Text),
        ..Given::default()
    };
    file.apply(&mut given).unwrap();
    assert_eq!(given.hostname_override.as_deref(), Some("from-flag"));
    assert_eq!(given.verbosity, Some(5));
    assert_eq!(given.log_format, Some(LogFormat::Text));
    let mut given = Given::default();
    file.apply(&mut given).unwrap();
    assert_eq!(given.hostname_override.as_deref(), Some("from-file"));
    assert_eq!(given.verbosity, Some(2));
    assert_eq!(given.log_format, Some(LogFormat::Json));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    for (lines, said) in [
        (
            "logging:\n  format: xml\n",
            "f.yaml:4: logging.format: \"xml\": write text or json",
        ),
        (
            "conntrack:\n  udpTimeout: 30\n",
            "f.yaml:4: conntrack.udpTimeout: write text",
        ),
        ("conntrack:\n  udpTimeout: 30x\n", "a number and a unit"),
        (
            "conntrack: {min: -5}\n",
            "f.yaml:3: conntrack.min: write a whole number",
        ),
        (
            "healthzBindAddress: localhost\n",
            "f.yaml:3: healthzBindAddress",
        ),
        ("nodePortAddresses: [eth0]\n", "a CIDR such as"),
        ("nodePortAddresses: primary\n", "write a list"),
        ("bindAddressHardFail: perhaps\n", "write true or false"),
    ] {
        let error = with(lines)
            .unwrap()
            .apply(&mut Given::default())
            .unwrap_err();
        assert!(error.to_string().contains(said), "{lines}: {error}");
    }
}

#[test]
fn other_files_are_refused() {
    for (text, said) in [
        ("apiVersion: v1\nkind: ConfigMap\n", "ConfigMap of v1"),
        ("", "without kind or apiVersion"),
        ("- a\n", "without kind or apiVersion"),
        (
            "apiVersion: kubeproxy.config.k8s.io/v2\nkind: KubeProxyConfiguration\n",
            "v2",
        ),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(matches!(file("a: [\n"), Err(BadFile::Syntax { .. })));
    let missing = File::read(Path::new("/nonexistent/weiche"));
    assert!(matches!(missing, Err(BadFile::Read { .. })));
}

#[test]
fn every_setting_has_a_name_of_its_own() {
    let mut names: Vec<_> = SETTINGS.iter().map(|setting| setting.field).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(
        SETTINGS
            .iter()
            .all(|it| it.set.is_some() == it.note.is_empty() || it.fate == Fate::Changed)
    );
}

#[test]
fn the_document_names_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kube-proxy.md");
    let document = std::fs::read_to_string(path).unwrap();
    let told: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let flags = IGNORED_FLAGS.iter();
    let flags = flags.map(|flag| format!("| `--{}` | {} |", flag.name, flag.note));
    let fields = SETTINGS.iter();
    let fields = fields.map(|it| format!("| `{}` | {} | {} |", it.field, it.fate, it.note));
    let rows: Vec<_> = flags.chain(fields).collect();
    assert_eq!(told, rows, "the tables should be:\n{}", rows.join("\n"));
}
