// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was not given, and what contradicts itself.

use super::*;

fn given() -> Given {
    Given {
        pin_dir: "/sys/fs/bpf/weiche".into(),
        state_dir: "/var/lib/weiche".into(),
        sizes: Sizes {
            frontends: 8,
            backends: 8,
            slots: 8,
            flows: 8,
            half_open: 8,
            affinity: 8,
        },
        ..Given::default()
    }
}

#[test]
fn what_was_not_given_is_filled_in() {
    let config = Config::new(given()).unwrap();
    assert_eq!(config.source, Source::Cluster(Access::default()));
    assert_eq!(config.globs.edges.len(), edges::EDGES.len());
    assert_eq!(
        as_given::join(&config.service_cidrs),
        "10.96.0.0/12,fd00:10:96::/112"
    );
    assert!(!config.node_name.is_empty());
}

/// Makes good settings bad.
type Spoil = fn(&mut Given);

#[test]
fn contradictions_are_refused_by_name() {
    fn cidrs(given: &mut Given, texts: &[&str]) {
        given.service_cidrs = texts.iter().map(|text| text.parse().unwrap()).collect();
    }
    let rows: [(Spoil, &str); 16] = [
        (
            |given| {
                given.manifests = vec!["m".into()];
                given.kubeconfig = Some("k".into());
            },
            "--kubeconfig",
        ),
        (
            |given| given.pin_dir = "pins".into(),
            "--pin-dir pins is relative",
        ),
        (|given| given.state_dir = "".into(), "--state-dir"),
        (|given| given.flows = Some(0), "--flows 0"),
        (|given| given.sizes.slots = 0, "--slots 0"),
        (
            |given| cidrs(given, &["127.0.0.0/8"]),
            "--service-cidr 127.0.0.0/8",
        ),
        (
            |given| given.master = Some("203.0.113.1".into()),
            "https://203.0.113.1:6443",
        ),
        (
            |given| {
                given.manifests = vec!["m".into()];
                given.master = Some("https://api".into());
            },
            "--master",
        ),
        (
            |given| given.hostname_override = Some(" ".into()),
            "--hostname-override",
        ),
        (|given| given.sizes.backends = 1, "--backends 1"),
        (|given| given.sizes.backends = 1 << 25, "2 to 16777216"),
        (|given| given.sizes.half_open = 0, "--half-open 0"),
        (|given| given.sizes.affinity = 0, "--affinity 0"),
        (
            |given| cidrs(given, &["10.0.0.0/8", "11.0.0.0/8"]),
            "10.0.0.0/8 and 11.0.0.0/8",
        ),
        (
            |given| cidrs(given, &["10.0.0.0/8", "fd00::/8", "fc00::/8"]),
            "fd00::/8 and fc00::/8",
        ),
        (
            |given| given.timeouts.udp_answered_ns = 1,
            "--conntrack-udp-timeout-stream",
        ),
    ];
    for (spoil, said) in rows {
        let mut given = given();
        spoil(&mut given);
        let error = Config::new(given).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn names_are_overridden_as_kube_proxy_does() {
    let config = Config::new(Given {
        node_name: Some("Other".into()),
        hostname_override: Some(" Node-A ".into()),
        ..given()
    });
    assert_eq!(config.unwrap().node_name, "node-a");
}

#[test]
fn the_flag_for_flows_is_stronger_than_limits_of_conntrack() {
    let conntrack = GivenConntrack {
        max_per_core: Some(1),
        min: Some(500),
    };
    let flows = |flows| {
        let given = Given {
            flows,
            conntrack,
            ..given()
        };
        Config::new(given).unwrap().sizes.flows
    };
    assert_eq!((flows(None), flows(Some(9))), (500, 9));
}
