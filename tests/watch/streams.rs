// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a stream of the API server may do, one knob after the other, and what the source makes of
//! it: nothing is lost, nothing old is believed, and no list is asked for that is not needed.

use std::{fs, time::Duration};

use lb_userspace::{
    model::{Change, Kind},
    watch::status::Status,
};
use serde_json::json;
use tests::{
    api_server::{ApiServer, HalfLine, NoList, Resource, Strike},
    wait,
};
use tokio::time::Instant;

use crate::{
    bed::{Bed, has, server_with, service},
    seen::{Seen, Stream},
};

fn well(status: &Status) -> bool {
    status.problems.is_empty()
}

fn lists(stream: &Stream) -> u32 {
    stream.seen.listed[&Kind::Service]
}

/// How often Services have been listed or watched.
fn asked(server: &ApiServer) -> usize {
    let requests = server.requests();
    let services = requests.iter().filter(|it| it.contains("/services?"));
    services.count()
}

#[tokio::test]
async fn a_line_that_breaks_off_is_told_again() -> anyhow::Result<()> {
    for then in [HalfLine::Reset, HalfLine::End, HalfLine::Silence] {
        let bed = Bed::new(server_with(&["a"])?)?;
        let mut stream = bed.start(1).await?;
        stream.until("the first lists", Seen::all_listed).await?;
        bed.watched().await?;
        bed.server.faults(|faults| faults.half_lines = Some(then));
        bed.server.put(service("b", "10.96.0.2"));
        assert!(bed.server.delete(Resource::Services, "default", "a"));
        let early = stream.within(Duration::from_millis(500)).await;
        assert_eq!(early, [], "{then:?}");
        bed.server.faults(|faults| faults.half_lines = None);
        let whole = |seen: &Seen| has(seen, "b") && !has(seen, "a");
        stream.until("both changes", whole).await?;
        assert_eq!(lists(&stream), 1, "{then:?}");
        stream.status_until("no trouble", well).await?;
    }
    Ok(())
}

/// Virtual time: to the server's end of the watch at 30 s there are 5 s of margin.
#[tokio::test(start_paused = true)]
async fn a_black_hole_is_noticed_within_35_seconds() -> anyhow::Result<()> {
    let bed = Bed::new(ApiServer::in_memory())?;
    bed.server.put(service("a", "10.96.0.1"));
    let mut stream = bed.start_in_memory();
    stream.until("the first lists", Seen::all_listed).await?;
    bed.watched().await?;
    // Past the moment from which a silent watch counts as one that works.
    stream.within(Duration::from_secs(3)).await;
    bed.server.strike(Strike::BlackHole);
    assert!(bed.server.delete(Resource::Services, "default", "a"));
    let start = Instant::now();
    let gone = stream.until_within(Duration::from_secs(40), |seen| !has(seen, "a"));
    gone.await?;
    let noticed = start.elapsed();
    assert!(noticed < Duration::from_secs(35), "{noticed:?}");
    assert_eq!(lists(&stream), 1, "what was missed is told from there on");
    stream.status_until("no trouble", well).await
}

/// The last sign of life may also be the beginning of the watch.
#[tokio::test(start_paused = true)]
async fn a_watch_that_never_speaks_is_noticed_within_35_seconds() -> anyhow::Result<()> {
    let bed = Bed::new(ApiServer::in_memory())?;
    let mut stream = bed.start_in_memory();
    stream.until("the first lists", Seen::all_listed).await?;
    bed.watched().await?;
    bed.server
        .faults(|faults| faults.half_lines = Some(HalfLine::Silence));
    bed.server.put(service("a", "10.96.0.1"));
    let start = Instant::now();
    let silent = |status: &Status| {
        let mut problems = status.problems.iter();
        problems.any(|it| it.problem.reason.contains("silent for 35 s"))
    };
    stream
        .status_until_within(Duration::from_secs(40), silent)
        .await?;
    let noticed = start.elapsed();
    assert!(noticed <= Duration::from_secs(35), "{noticed:?}");
    bed.server.faults(|faults| faults.half_lines = None);
    stream.until("the change", |seen| has(seen, "a")).await
}

#[tokio::test]
async fn a_stream_that_goes_back_in_time_is_not_believed() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a", "b"])?)?;
    let mut stream = bed.started().await?;
    bed.server.put(service("a", "10.96.0.7"));
    assert!(bed.server.delete(Resource::Services, "default", "b"));
    stream.until("the present", |seen| !has(seen, "b")).await?;
    bed.server.faults(|faults| faults.replay = 40);
    bed.server.strike(Strike::End);
    let back = |status: &Status| {
        let mut problems = status.problems.iter();
        problems.any(|it| it.problem.reason.contains("went back from version"))
    };
    stream.status_until("a word about it", back).await?;
    for change in stream.within(Duration::from_millis(1_500)).await {
        if let Change::Service(object) = change {
            assert_eq!(&*object.name.name, "a");
            assert_eq!(
                object.cluster_ips,
                ["10.96.0.7".parse::<std::net::IpAddr>()?]
            );
        }
    }
    assert!(lists(&stream) > 1);
    bed.server.faults(|faults| faults.replay = 0);
    stream.status_until("no trouble", well).await
}

#[tokio::test]
async fn kinds_come_in_any_order() -> anyhow::Result<()> {
    for late in Resource::ALL {
        let bed = Bed::new(ApiServer::start()?)?;
        bed.server.faults_of(late, |faults| faults.stall = true);
        bed.server.put(service("a", "10.96.0.1"));
        bed.server
            .put(json!({"kind": "Node", "metadata": {"name": "n"}}));
        bed.server.put(json!({
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "a-1", "labels": {"kubernetes.io/service-name": "a"}},
            "endpoints": [{"addresses": ["10.244.0.1"]}], "ports": [{"port": 80}],
        }));
        let mut stream = bed.start(30).await?;
        let two = |seen: &Seen| seen.listed.len() == 2;
        stream.until("the other kinds", two).await?;
        assert!(!stream.seen.all_listed());
        bed.server.faults(|faults| faults.stall = false);
        stream.until("all kinds", Seen::all_listed).await?;
        assert_eq!(stream.seen.ready("a"), ["10.244.0.1"]);
        assert_eq!(stream.seen.nodes.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_that_is_slow_misses_nothing() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.start(1).await?;
    stream.until("the first lists", Seen::all_listed).await?;
    bed.watched().await?;
    for index in 0..3_000 {
        bed.server.put(service(&format!("s{index}"), "10.96.0.2"));
    }
    // Longer than a connection may be silent: it is not the server that is slow.
    wait::pass_on_runtime(Duration::from_millis(6_500)).await;
    assert_eq!(stream.problems(), [""; 0]);
    let all = |seen: &Seen| seen.services.len() == 3_001;
    stream.until("all of it", all).await?;
    assert_eq!(lists(&stream), 1);
    Ok(())
}

#[tokio::test]
async fn an_error_in_the_stream_costs_a_pause_and_one_of_410_a_list() -> anyhow::Result<()> {
    for (code, count) in [(500, 1), (504, 1), (410, 2)] {
        let bed = Bed::new(server_with(&["a"])?)?;
        let mut stream = bed.started().await?;
        bed.server.strike(Strike::Error(code));
        let said = |status: &Status| status.problems.len() == 3;
        stream.status_until("a word about it", said).await?;
        assert!(bed.server.delete(Resource::Services, "default", "a"));
        stream.until("the change", |seen| !has(seen, "a")).await?;
        stream.within(Duration::from_millis(100)).await;
        assert_eq!(lists(&stream), count, "{code}");
        stream.status_until("no trouble", well).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_bookmark_saves_a_list_when_older_versions_are_forgotten() -> anyhow::Result<()> {
    for (told, count) in [(true, 1), (false, 2)] {
        let bed = Bed::new(server_with(&["a"])?)?;
        let mut stream = bed.started().await?;
        bed.server.compact();
        bed.server
            .put(json!({"kind": "Node", "metadata": {"name": "n"}}));
        stream
            .until("the Node", |seen| seen.nodes.len() == 1)
            .await?;
        if told {
            bed.server.strike_at(Resource::Services, Strike::Bookmark);
        }
        // Behind the bookmark in the same stream, so that it has been read.
        bed.server.strike_at(Resource::Services, Strike::End);
        bed.server.put(service("b", "10.96.0.2"));
        stream.until("a change", |seen| has(seen, "b")).await?;
        // What follows upon the objects of a list is its end.
        stream.within(Duration::from_millis(100)).await;
        assert_eq!(lists(&stream), count, "a bookmark: {told}");
    }
    Ok(())
}

/// Virtual time, so that what was asked for can be counted.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_to_come_again_is_not_asked_before() -> anyhow::Result<()> {
    let bed = Bed::new(ApiServer::in_memory())?;
    let mut stream = bed.start_in_memory();
    stream.until("the first lists", Seen::all_listed).await?;
    bed.watched().await?;
    bed.server.faults(|faults| {
        faults.refuse = Some(429);
        faults.retry_after_s = Some(20);
    });
    bed.server.strike(Strike::End);
    let before = asked(&bed.server);
    stream.within(Duration::from_secs(19)).await;
    assert_eq!(asked(&bed.server), before + 1);
    stream.within(Duration::from_secs(20)).await;
    assert_eq!(asked(&bed.server), before + 2);
    bed.server.faults(|faults| faults.refuse = None);
    bed.server.put(service("a", "10.96.0.1"));
    let seen = stream.until_within(Duration::from_secs(21), |seen| has(seen, "a"));
    seen.await
}

#[tokio::test]
async fn a_new_token_is_taken_from_its_file() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let token = bed.folder.path().join("token");
    fs::write(&token, "one")?;
    fs::write(bed.kubeconfig(), bed.server.kubeconfig_with_token(&token))?;
    bed.server.accept_tokens(Some(&["one"]));
    let mut stream = bed.started().await?;
    bed.server.accept_tokens(Some(&["two"]));
    bed.server.strike(Strike::Cut);
    bed.server.put(service("b", "10.96.0.2"));
    let refused = |status: &Status| {
        let mut problems = status.problems.iter();
        problems.any(|it| it.problem.reason.contains("Unauthorized"))
    };
    stream.status_until("a refusal", refused).await?;
    assert!(has(&stream.seen, "a") && !has(&stream.seen, "b"));
    fs::write(&token, "two")?;
    // kube reads the file once a minute; whoever is refused does not wait for that.
    stream
        .until("what was missed", |seen| has(seen, "b"))
        .await?;
    assert_eq!(lists(&stream), 1);
    stream.status_until("no trouble", well).await
}

#[tokio::test]
async fn a_server_that_is_set_back_is_followed_back() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.started().await?;
    let copy = bed.server.snapshot();
    assert!(bed.server.delete(Resource::Services, "default", "a"));
    bed.server.put(service("b", "10.96.0.2"));
    stream.until("the present", |seen| has(seen, "b")).await?;
    bed.server.stop()?;
    bed.server.set_back(&copy);
    bed.server.restart()?;
    let back = |seen: &Seen| has(seen, "a") && !has(seen, "b");
    stream.until("the past", back).await?;
    bed.server.put(service("c", "10.96.0.3"));
    stream.until("a change", |seen| has(seen, "c")).await?;
    stream.status_until("no trouble", well).await
}

#[tokio::test]
async fn a_server_that_has_moved_is_found_by_its_new_kubeconfig() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.started().await?;
    bed.server.stop()?;
    let moved = server_with(&["a", "b", "c"])?;
    fs::write(bed.kubeconfig(), moved.kubeconfig())?;
    let found = |seen: &Seen| has(seen, "b") && has(seen, "c");
    stream.until("the new server's objects", found).await?;
    stream.status_until("no trouble", well).await
}

#[tokio::test]
async fn what_is_no_list_of_it_takes_nothing_away() -> anyhow::Result<()> {
    for (no_list, said) in [
        (
            NoList::OtherKind,
            "services: ServiceList was asked for, \"PodList\" came",
        ),
        (
            NoList::NoVersion,
            "services: a list came without its version",
        ),
    ] {
        let bed = Bed::new(server_with(&["a", "b"])?)?;
        let mut stream = bed.started().await?;
        bed.server
            .faults_of(Resource::Services, |faults| faults.no_list = Some(no_list));
        bed.server.strike_at(Resource::Services, Strike::Error(410));
        stream
            .status_until("a word about it", |status| {
                status
                    .problems
                    .iter()
                    .any(|noted| noted.line(0).starts_with(said))
            })
            .await?;
        assert_eq!(stream.seen.listed[&Kind::Service], 1, "{no_list:?}");
        assert!(has(&stream.seen, "a") && has(&stream.seen, "b"));
        bed.server
            .faults_of(Resource::Services, |faults| faults.no_list = None);
        let relisted = |seen: &Seen| seen.listed[&Kind::Service] == 2;
        stream.until("a list", relisted).await?;
        assert!(has(&stream.seen, "a") && has(&stream.seen, "b"));
    }
    Ok(())
}
