// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the metrics tell of requests to the API server.

use std::time::Duration;

use lb_userspace::{
    config::SeedKind,
    observe::metrics::{Facts, Metrics},
    watch::cluster::{self, Settings},
};
use tests::{
    api_server::{Resource, Strike},
    openmetrics, wait,
};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    bed::{Bed, server_with},
    seen::{Seen, Stream},
};

struct Calls {
    bed: Bed,
    metrics: Metrics,
}

impl Calls {
    fn new() -> anyhow::Result<Self> {
        let facts = Facts {
            started_s: 0,
            starts: 1,
            seed: SeedKind::Secret,
        };
        Ok(Self {
            bed: Bed::new(server_with(&["a"])?)?,
            metrics: Metrics::new(&facts),
        })
    }

    async fn start(&self, watch_s: u32) -> anyhow::Result<Stream> {
        let settings = Settings {
            kubeconfig: Some(self.bed.kubeconfig()),
            watch_s,
            calls: self.metrics.calls().clone(),
            ..Settings::default()
        };
        let (sender, changes) = mpsc::channel(16);
        let handle = cluster::spawn(settings, sender).await?;
        Ok(Stream::new(changes, handle))
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<Option<f64>> {
        let host = self.bed.server.address().to_string();
        let mut labels = labels.to_vec();
        labels.push(("host", &host));
        let samples = openmetrics::parse(&self.metrics.text()?)?;
        let name = format!("rest_client_{name}");
        Ok(openmetrics::value(&samples, &name, &labels))
    }

    /// How many requests came to this end.
    fn ended(&self, code: &str) -> anyhow::Result<Option<f64>> {
        self.value("requests_total", &[("code", code), ("method", "GET")])
    }

    /// How many were timed.
    fn timed(&self) -> anyhow::Result<Option<f64>> {
        self.value("request_duration_seconds_count", &[("verb", "GET")])
    }

    async fn until_more(&self, code: &str, than: f64) -> anyhow::Result<()> {
        let more = async {
            while self.ended(code)? <= Some(than) {
                wait::pass_on_runtime(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(20), more).await?
    }
}

#[tokio::test]
async fn lists_and_watches_are_counted_and_lists_are_timed() -> anyhow::Result<()> {
    let calls = Calls::new()?;
    let mut stream = calls.start(30).await?;
    stream.until("the first lists", Seen::all_listed).await?;
    calls.bed.watched().await?;
    calls.until_more("200", 5.0).await?;
    assert_eq!(
        (calls.ended("200")?, calls.timed()?),
        (Some(6.0), Some(3.0)),
        "a list and a watch of each kind"
    );
    let slow = [("verb", "GET"), ("le", "30.0")];
    assert_eq!(
        calls.value("request_duration_seconds_bucket", &slow)?,
        Some(3.0),
        "none of them took so long"
    );
    calls.bed.server.strike(Strike::End);
    // Each kind asks for the version, since watches have ended early, and watches again.
    calls.until_more("200", 11.0).await?;
    assert_eq!(calls.timed()?, Some(6.0), "no watch that has ended");
    Ok(())
}

#[tokio::test]
async fn refusals_are_counted_by_their_code() -> anyhow::Result<()> {
    let calls = Calls::new()?;
    calls.bed.server.faults(|faults| faults.refuse = Some(503));
    let mut stream = calls.start(30).await?;
    calls.until_more("503", 3.0).await?;
    assert_eq!((calls.ended("200")?, calls.ended("<error>")?), (None, None));
    calls.bed.server.faults(|faults| faults.refuse = None);
    stream.until("the first lists", Seen::all_listed).await?;
    assert!(calls.ended("200")? >= Some(3.0));
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error() -> anyhow::Result<()> {
    let calls = Calls::new()?;
    let mut stream = calls.start(30).await?;
    stream.until("the first lists", Seen::all_listed).await?;
    assert_eq!(calls.ended("<error>")?, None);
    calls.bed.server.stop()?;
    calls.until_more("<error>", 2.0).await
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error() -> anyhow::Result<()> {
    let calls = Calls::new()?;
    let stalls = |stalls| {
        let server = &calls.bed.server;
        server.faults_of(Resource::Services, |faults| faults.stall = stalls);
    };
    stalls(true);
    let mut stream = calls.start(1).await?;
    // A watch of a second may be silent for six.
    calls.until_more("<error>", 0.0).await?;
    let longest = [("verb", "GET"), ("le", "4.0")];
    let within = calls.value("request_duration_seconds_bucket", &longest)?;
    assert!(calls.timed()? > within, "it took its time");
    stalls(false);
    stream.until("the first lists", Seen::all_listed).await
}
