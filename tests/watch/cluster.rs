// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cluster mode over real HTTP, and all that can go wrong there.

use std::{fs, sync::Arc, time::Duration};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use lb_userspace::{
    model::Kind,
    watch::{
        cluster::{self, Settings, StartError},
        convert,
    },
};
use serde_json::json;
use tests::api_server::{Resource, Strike};
use tokio::sync::mpsc;

use crate::{
    api_server::{play, server_at_first},
    bed::{Bed, has, server_with, service},
    recorded::Recording,
    seen::Seen,
};

#[tokio::test]
async fn a_recorded_story_ends_as_recorded() -> anyhow::Result<()> {
    let bed = Bed::new(server_at_first()?)?;
    let mut stream = bed.started().await?;
    assert_eq!(
        (stream.seen.services.len(), stream.seen.nodes.len()),
        (3, 2)
    );
    for resource in Resource::ALL {
        play(&bed.server, resource)?;
    }
    let mut services = std::collections::BTreeMap::new();
    for item in Recording::read("services-list-after")?.items()? {
        let object: Service = serde_json::from_value(item)?;
        let object = convert::service(&object, &mut Vec::new()).expect("it has a name");
        services.insert(object.name.clone(), Arc::new(object));
    }
    let mut slices = std::collections::BTreeMap::new();
    for item in Recording::read("endpointslices-list-after")?.items()? {
        let object: EndpointSlice = serde_json::from_value(item)?;
        // The slice of `kubernetes` itself is made by the API server, which the story leaves out.
        if let Some(object) = convert::slice(&object, &mut Vec::new()) {
            slices.insert(object.name.clone(), Arc::new(object));
        }
    }
    stream
        .until("the Services of the end", |seen| seen.services == services)
        .await?;
    stream
        .until("the slices of the end", |seen| seen.slices == slices)
        .await?;
    let zone = |seen: &Seen| seen.nodes["node-a"].zone.as_deref() == Some("zone-3");
    stream.until("the zone of the end", zone).await?;
    assert_eq!(stream.problems(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn long_lists_come_in_pages() -> anyhow::Result<()> {
    let names: Vec<String> = (0..1_203).map(|index| format!("s{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bed = Bed::new(server_with(&names)?)?;
    let stream = bed.started().await?;
    assert_eq!(stream.seen.services.len(), 1_203);
    let requests = bed.server.requests();
    let pages = requests
        .iter()
        .filter(|it| it.contains("services?") && it.contains("limit=500"));
    assert_eq!(pages.count(), 3, "{requests:#?}");
    Ok(())
}

#[tokio::test]
async fn only_what_is_needed_is_asked_for() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let _stream = bed.started().await?;
    let requests = bed.server.requests();
    let paths = [
        "/api/v1/services?",
        "/apis/discovery.k8s.io/v1/endpointslices?",
        "/api/v1/nodes?",
    ];
    for request in &requests {
        assert!(paths.iter().any(|path| request.contains(path)), "{request}");
        let of_slices = request.contains("endpointslices");
        let labelled = request.contains("labelSelector=kubernetes.io%2Fservice-name");
        assert_eq!(of_slices, labelled, "{request}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_new_list_does_not_name_is_gone() -> anyhow::Result<()> {
    for gone_as_status in [false, true] {
        let bed = Bed::new(server_with(&["a", "b", "c"])?)?;
        bed.server
            .faults(|faults| faults.gone_as_status = gone_as_status);
        let mut stream = bed.started().await?;
        // Away while things go, and with no memory of it when it is back.
        bed.server.stop()?;
        stream
            .status_until("trouble", |status| !status.problems.is_empty())
            .await?;
        assert_eq!(stream.seen.services.len(), 3);
        assert!(bed.server.delete(Resource::Services, "default", "b"));
        bed.server.put(service("d", "10.96.0.4"));
        bed.server.compact();
        bed.server.restart()?;
        let relisted = |seen: &Seen| seen.listed[&Kind::Service] > 1 && !has(seen, "b");
        stream.until("a list without b", relisted).await?;
        assert_eq!(stream.seen.services.len(), 3);
        assert!(has(&stream.seen, "d"));
        stream
            .status_until("no trouble", |status| status.problems.is_empty())
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_was_away_is_gone_on_with() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.started().await?;
    bed.server.stop()?;
    stream
        .status_until("trouble of all three", |status| status.problems.len() == 3)
        .await?;
    let problems = stream.problems();
    assert!(
        problems
            .iter()
            .all(|it| it.contains("What is known stays in force")),
        "{problems:?}"
    );
    bed.server.put(service("b", "10.96.0.2"));
    bed.server.restart()?;
    stream
        .until("what happened meanwhile", |seen| has(seen, "b"))
        .await?;
    // Nodes and slices have nothing to say, and yet are known to be well.
    stream
        .status_until("no trouble", |status| status.problems.is_empty())
        .await?;
    assert_eq!(
        stream.seen.listed[&Kind::Service],
        1,
        "a resumed watch needs no list"
    );
    Ok(())
}

#[tokio::test]
async fn cut_and_ended_watches_are_taken_up_again() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.start(1).await?;
    stream.until("the first lists", Seen::all_listed).await?;
    for (index, name) in ["b", "c", "d"].into_iter().enumerate() {
        bed.server.strike(Strike::Cut);
        bed.server.put(service(name, "10.96.0.2"));
        stream
            .until("a change after a cut", |seen| has(seen, name))
            .await?;
        assert_eq!(stream.seen.services.len(), index + 2);
    }
    // The server's own end of a watch, once a second: nobody notices.
    let changes = stream.within(Duration::from_millis(2_500)).await;
    assert_eq!(changes, []);
    assert!(bed.server.delete(Resource::Services, "default", "a"));
    stream.until("a deletion", |seen| !has(seen, "a")).await?;
    assert_eq!(stream.seen.listed[&Kind::Service], 1);
    Ok(())
}

#[tokio::test]
async fn a_server_that_ends_every_watch_is_not_flooded() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    bed.server.faults(|faults| faults.end_watches = true);
    let mut stream = bed.start(30).await?;
    stream.until("the first lists", Seen::all_listed).await?;
    let said = |status: &lb_userspace::watch::status::Status| status.problems.len() == 3;
    stream.status_until("a word about it", said).await?;
    let before = bed.server.requests().len();
    stream.within(Duration::from_secs(2)).await;
    let asked = bed.server.requests().len() - before;
    // 0.1 s, 0.2 s, 0.4 s … at the least, for three kinds; a watch, and whether it is the server
    // that we knew.
    assert!(asked <= 36, "{asked} requests in 2 s");
    bed.server.put(service("b", "10.96.0.2"));
    bed.server.faults(|faults| faults.end_watches = false);
    stream.until("a change", |seen| has(seen, "b")).await?;
    stream
        .status_until("no trouble", |status| status.problems.is_empty())
        .await
}

#[tokio::test]
async fn a_refusal_costs_only_its_kind_and_is_retried_with_patience() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    bed.server
        .faults_of(Resource::Nodes, |faults| faults.refuse = Some(403));
    let mut stream = bed.start(30).await?;
    stream
        .until("the other kinds", |seen| seen.listed.len() == 2)
        .await?;
    stream
        .status_until("a refusal", |status| status.problems.len() == 1)
        .await?;
    let problem = stream.problems().remove(0);
    assert!(problem.starts_with("nodes: "), "{problem}");
    assert!(
        problem.contains("nodes is forbidden: User \"plain-user\""),
        "{problem}"
    );
    stream.within(Duration::from_secs(2)).await;
    let requests = bed.server.requests();
    let asked = requests.iter().filter(|it| it.contains("/nodes")).count();
    assert!((2..=8).contains(&asked), "{asked} lists of Nodes in 2 s");
    bed.server.faults(|faults| faults.refuse = None);
    stream.until("Nodes", Seen::all_listed).await?;
    stream
        .status_until("no refusal", |status| status.problems.is_empty())
        .await
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_is_noticed() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.start(1).await?;
    stream.until("the first lists", Seen::all_listed).await?;
    bed.server.faults(|faults| faults.stall = true);
    // 1 s for the watch and 5 s of margin; what was known stays.
    stream
        .status_until("trouble", |status| status.problems.len() == 3)
        .await?;
    assert!(
        stream.problems()[0].contains("silent for 6 s"),
        "{:?}",
        stream.problems()
    );
    assert!(has(&stream.seen, "a"));
    bed.server.put(service("b", "10.96.0.2"));
    bed.server.faults(|faults| faults.stall = false);
    stream.until("a change", |seen| has(seen, "b")).await?;
    stream
        .status_until("no trouble", |status| status.problems.is_empty())
        .await
}

#[tokio::test]
async fn an_object_that_makes_little_sense_is_said_and_harms_no_other() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let mut stream = bed.started().await?;
    let mut odd = service("odd", "10.96.0.2");
    odd["spec"]["ports"] = json!([{"port": 70000}, {"port": 80}]);
    bed.server.put(odd);
    stream.until("it", |seen| has(seen, "odd")).await?;
    stream
        .status_until("a word", |status| status.problems.len() == 1)
        .await?;
    assert_eq!(
        stream.problems(),
        ["services: Service default/odd: port 70000 is not in 1-65535"]
    );
    bed.server.put(service("odd", "10.96.0.2"));
    stream
        .status_until("it is mended", |status| status.problems.is_empty())
        .await
}

#[tokio::test]
async fn a_start_that_cannot_be_says_what_was_tried() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&[])?)?;
    for (what, text) in [
        ("missing", None),
        ("broken", Some("clusters: [")),
        ("empty", Some("")),
        // What stands beside a mistake may be a secret.
        (
            "a secret before it",
            Some("users:\n- user:\n    token: SECRET\nclusters: ["),
        ),
        ("a secret of another type", Some("users:\n- user: SECRET\n")),
    ] {
        let path = bed.folder.path().join(what);
        if let Some(text) = text {
            fs::write(&path, text)?;
        }
        let settings = Settings {
            kubeconfig: Some(path.clone()),
            ..Settings::default()
        };
        let (sender, _changes) = mpsc::channel(1);
        let error = cluster::spawn(settings, sender)
            .await
            .map(drop)
            .expect_err(what);
        let StartError::Kubeconfig { path: named, .. } = &error else {
            panic!("{what}: {error}");
        };
        assert_eq!(*named, path);
        let said = format!("{:#}", anyhow::Error::from(error));
        assert!(!said.contains("SECRET"), "{said}");
    }
    let (sender, _changes) = mpsc::channel(1);
    let error = cluster::spawn(Settings::default(), sender)
        .await
        .map(drop)
        .expect_err("no Pod");
    let text = error.to_string();
    for word in ["--kubeconfig", "KUBERNETES_SERVICE_HOST", "--manifests"] {
        assert!(text.contains(word), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn namespaces_are_followed_where_names_are_served() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    bed.server
        .put(json!({"kind": "Namespace", "metadata": {"name": "first"}}));
    let mut stream = bed.start_with_namespaces().await?;
    let is = |names: &'static [&str]| {
        move |seen: &Seen| {
            seen.namespaces
                .iter()
                .map(|name| &**name)
                .eq(names.iter().copied())
        }
    };
    stream.until("what was there", is(&["first"])).await?;
    bed.server
        .put(json!({"kind": "Namespace", "metadata": {"name": "second"}}));
    stream.until("a new one", is(&["first", "second"])).await?;
    bed.server.delete(Resource::Namespaces, "", "first");
    stream.until("one less", is(&["second"])).await
}
