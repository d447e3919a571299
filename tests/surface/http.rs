// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes and metrics over real HTTP, asked by curl and by clients that mean no good.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use lb_userspace::{
    clock,
    config::SeedKind,
    observe::{
        metrics::{Facts, Metrics},
        server::{self, Vitals},
    },
    reconcile::Report,
};
use serde_json::Value;
use tests::openmetrics;

/// Both servers on free ports of loopback, as the agent starts them.
struct Bed {
    vitals: Arc<Vitals>,
    probes: SocketAddr,
    metrics: SocketAddr,
}

impl Bed {
    fn new() -> anyhow::Result<Self> {
        let facts = Facts {
            started_s: clock::unix_s(),
            starts: 1,
            seed: SeedKind::Secret,
        };
        let vitals = Arc::new(Vitals::new(Metrics::new(&facts), None));
        let mut addresses = Vec::new();
        for router in [
            server::probes(vitals.clone()),
            server::metrics(vitals.clone()),
        ] {
            let address = free_address()?;
            addresses.push(address);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            // Ends with the test's process.
            thread::spawn(move || {
                runtime.block_on(async move {
                    let listener = server::listen("test", address, true).await;
                    match server::serve(listener.expect("a free port"), router).await {}
                });
            });
        }
        let bed = Self {
            vitals,
            probes: addresses[0],
            metrics: addresses[1],
        };
        for address in addresses {
            tests::wait::until("the server", Duration::from_secs(10), || {
                TcpStream::connect(address).ok()
            })?;
        }
        Ok(bed)
    }

    fn report(&self, pending_for_s: Option<u64>, node_leaving: bool) {
        self.vitals.round(&Report {
            listed: true,
            pending_since_ns: pending_for_s
                .map(|seconds| clock::monotonic_ns() - seconds * 1_000_000_000),
            node_leaving,
            ..Report::default()
        });
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// What curl says: the code, the head, the body.
fn curl(address: SocketAddr, path: &str, more: &[&str]) -> anyhow::Result<(u16, String, String)> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--include", "--max-time", "20"])
        .args(more);
    let output = command.arg(format!("http://{address}{path}")).output()?;
    let text = String::from_utf8(output.stdout)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .with_context(|| format!("{command:?}: {text:?}"))?;
    let code = head.split(' ').nth(1).context("no code")?.parse()?;
    Ok((code, head.to_ascii_lowercase(), body.to_owned()))
}

#[test]
fn probes_answer_as_those_of_kube_proxy() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let codes = || -> anyhow::Result<[u16; 3]> {
        let mut codes = [0; 3];
        for (code, path) in codes.iter_mut().zip(["/healthz", "/livez", "/readyz"]) {
            *code = curl(bed.probes, path, &[])?.0;
        }
        Ok(codes)
    };
    assert_eq!(codes()?, [200, 200, 503], "nothing is listed yet");
    bed.report(None, false);
    assert_eq!(codes()?, [200, 200, 503], "nothing is attached yet");
    bed.vitals.attached();
    assert_eq!(codes()?, [200, 200, 200]);
    bed.report(Some(59), false);
    assert_eq!(codes()?, [200, 200, 200], "not late yet");
    bed.report(Some(61), false);
    assert_eq!(codes()?, [503, 503, 503], "late");
    bed.report(None, true);
    assert_eq!(codes()?, [503, 200, 200], "the node is being deleted");
    let (_, head, body) = curl(bed.probes, "/healthz", &[])?;
    for line in [
        "content-type: application/json",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(line), "{head}");
    }
    let body: Value = serde_json::from_str(&body)?;
    assert_eq!(body["nodeEligible"], false);
    for field in ["lastUpdated", "currentTime"] {
        let text = body[field].as_str().context("a time")?;
        assert!(text.contains(" +0000 UTC m=+"), "{text}");
    }
    let (_, _, text) = curl(bed.metrics, "/metrics", &[])?;
    let samples = openmetrics::parse(&text)?;
    for (name, code, times) in [
        ("kubeproxy_proxy_healthz_total", "200", 4.0),
        ("kubeproxy_proxy_healthz_total", "503", 3.0),
        ("kubeproxy_proxy_livez_total", "503", 1.0),
    ] {
        let found = openmetrics::value(&samples, name, &[("code", code)]);
        assert_eq!(found, Some(times), "{name} {code}");
    }
    Ok(())
}

#[test]
fn metrics_are_open_metrics() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    bed.report(None, false);
    let (code, head, text) = curl(bed.metrics, "/metrics", &[])?;
    assert_eq!(code, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    let samples = openmetrics::parse(&text)?;
    let value = |name| openmetrics::value(&samples, name, &[]);
    assert_eq!(
        value("kubeproxy_sync_proxy_rules_duration_seconds_count"),
        Some(1.0)
    );
    assert!(value("process_resident_memory_bytes") > Some(1e6), "{text}");
    assert!(value("process_cpu_seconds_total").is_some());
    assert!(value("process_open_fds") > Some(3.0));
    Ok(())
}

#[test]
fn nothing_but_get_of_what_there_is() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    for (address, path) in [(bed.probes, "/healthz"), (bed.metrics, "/metrics")] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(
                curl(address, path, &["--request", method])?.0,
                405,
                "{method} {path}"
            );
        }
    }
    // Each server has its own paths only; kube-proxy's debug pages are not there.
    for (address, path) in [
        (bed.probes, "/metrics"),
        (bed.metrics, "/livez"),
        (bed.metrics, "/debug/pprof/"),
        (bed.metrics, "/configz"),
        (bed.probes, "/"),
    ] {
        assert_eq!(curl(address, path, &[])?.0, 404, "{path}");
    }
    Ok(())
}

#[test]
fn slow_clients_are_hung_up_on_and_keep_nobody_out() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    // More than one address may have, none of which ever ends its request.
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(bed.probes)?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        slow.push(stream);
    }
    let begun = Instant::now();
    for mut stream in slow {
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error).context("a slow client was not hung up on"),
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(said.is_empty() || said.contains(" 408 "), "{said}");
    }
    ensure!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(curl(bed.probes, "/livez", &[])?.0, 200);
    Ok(())
}

#[test]
fn heads_have_a_limit() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let long = format!("X-Long: {}", "x".repeat(64 * 1024));
    assert_eq!(curl(bed.probes, "/livez", &["--header", &long])?.0, 431);
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_tried_again() -> anyhow::Result<()> {
    // No client of another test has this address, and so none can get the port meanwhile.
    let taken = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0))?;
    let address = taken.local_addr()?;
    let refused = server::listen("metrics-bind-address", address, true).await;
    let said = refused.err().context("it is taken")?.to_string();
    assert!(
        said.contains("--metrics-bind-address") && said.contains("kube-proxy"),
        "{said}"
    );
    let listening = tokio::spawn(server::listen("healthz-bind-address", address, false));
    tokio::task::yield_now().await;
    assert!(!listening.is_finished());
    drop(taken);
    let listener = tokio::time::timeout(Duration::from_secs(20), listening).await???;
    assert_eq!(listener.local_addr()?, address);
    Ok(())
}
