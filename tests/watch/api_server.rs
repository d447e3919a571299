// SPDX-License-Identifier: MIT OR Apache-2.0
//! The API server of the tests, held to what a kube-apiserver said.

use anyhow::Context as _;
use serde_json::Value;
use tests::api_server::{ApiServer, Resource};

use crate::{
    http::{Request, get, get_as},
    recorded::Recording,
};

const NAMES: [&str; 3] = ["services", "endpointslices", "nodes"];

/// A server with the objects of the recorded first lists.
pub(crate) fn server_at_first() -> anyhow::Result<ApiServer> {
    let server = ApiServer::start()?;
    for name in NAMES {
        for item in Recording::read(&format!("{name}-list"))?.items()? {
            server.put(item);
        }
    }
    Ok(server)
}

/// Does what a recorded watch saw done.
pub(crate) fn play(server: &ApiServer, resource: Resource) -> anyhow::Result<()> {
    let story = Recording::read(&format!("{}-watch-life", resource.plural()))?;
    for line in story.lines()? {
        let object = line["object"].clone();
        match line["type"].as_str().context("no type")? {
            "ADDED" | "MODIFIED" => drop(server.put(object)),
            "DELETED" => {
                let metadata = &object["metadata"];
                let namespace = metadata["namespace"].as_str().unwrap_or_default();
                let name = metadata["name"].as_str().context("no name")?;
                assert!(server.delete(resource, namespace, name), "{name}");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The same answer, but for versions, which each server counts by itself.
fn check(server: &ApiServer, recorded: &Recording, uri: &str) -> anyhow::Result<()> {
    let said = get(server.address(), uri)?;
    assert_eq!(said.code, recorded.code, "{uri}");
    assert_eq!(said.content_type, recorded.content_type, "{uri}");
    let plain = |recording: &Recording| {
        let mut lines = match recording.json() {
            Ok(value) => vec![value],
            Err(_) => recording.lines()?,
        };
        lines.iter_mut().for_each(without_versions);
        anyhow::Ok(lines)
    };
    let (said, recorded) = (plain(&said)?, plain(recorded)?);
    for (said, recorded) in said.iter().zip(&recorded) {
        assert_eq!(said, recorded, "{uri}");
    }
    assert_eq!(said.len(), recorded.len(), "{uri}");
    Ok(())
}

/// Blanks versions, tokens and the numbers in messages.
fn without_versions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match (field.as_str(), &value) {
                    ("resourceVersion" | "continue" | "serverAddress", Value::String(_)) => {
                        *value = "…".into();
                    }
                    ("message", Value::String(text)) => {
                        let blank = |it: char| if it.is_ascii_digit() { '0' } else { it };
                        *value = text.chars().map(blank).collect::<String>().into();
                    }
                    _ => without_versions(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(without_versions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn lists_are_as_recorded() -> anyhow::Result<()> {
    let server = server_at_first()?;
    for name in NAMES {
        let recorded = Recording::read(&format!("{name}-list"))?;
        check(&server, &recorded, &recorded.uri)?;
    }
    for name in ["version", "api", "services-list-proxy-selector"] {
        let recorded = Recording::read(name)?;
        check(&server, &recorded, &recorded.uri)?;
    }
    Ok(())
}

#[test]
fn pages_are_as_recorded() -> anyhow::Result<()> {
    let server = server_at_first()?;
    let mut uri = String::new();
    // The second one was asked for with an empty token: it is the first page again.
    for name in ["services-page-2", "services-page-1"] {
        let recorded = Recording::read(name)?;
        check(&server, &recorded, &recorded.uri)?;
        uri = recorded.uri;
    }
    for name in ["alpaca-prod", "bandicoot-prod"] {
        let page = get(server.address(), &uri)?.json()?;
        assert_eq!(page["items"][0]["metadata"]["name"], name);
        let token = page["metadata"]["continue"].as_str().context("no token")?;
        uri = format!("/api/v1/services?limit=1&continue={token}");
    }
    // A page shows the version of the first, whatever has happened since.
    server.delete(Resource::Services, "default", "kubernetes");
    let last = get(server.address(), &uri)?.json()?;
    assert_eq!(last["items"][0]["metadata"]["name"], "kubernetes");
    assert_eq!(last["metadata"]["continue"], Value::Null);
    server.compact();
    assert_eq!(get(server.address(), &uri)?.code, 410);
    Ok(())
}

#[test]
fn refusals_are_as_recorded() -> anyhow::Result<()> {
    let server = server_at_first()?;
    server.compact();
    let recorded = Recording::read("services-list-old-exact-after-restart")?;
    let uri = "/api/v1/services?resourceVersion=201&resourceVersionMatch=Exact";
    check(&server, &recorded, uri)?;
    let recorded = Recording::read("services-watch-410-after-restart")?;
    check(
        &server,
        &recorded,
        "/api/v1/services?watch=1&resourceVersion=201",
    )?;
    server.faults(|faults| faults.gone_as_status = true);
    let said = get(
        server.address(),
        "/api/v1/services?watch=1&resourceVersion=201",
    )?;
    assert_eq!(
        (said.code, said.json()?["reason"].as_str()),
        (410, Some("Expired"))
    );

    let recorded = Recording::read("services-list-bad-continue")?;
    let said = get(server.address(), &recorded.uri)?;
    assert_eq!(said.code, recorded.code);
    let (said, recorded) = (said.json()?, recorded.json()?);
    assert_eq!(
        (&said["reason"], &said["code"]),
        (&recorded["reason"], &recorded["code"])
    );

    server.faults(|faults| faults.refuse = Some(403));
    let recorded = Recording::read("services-list-403")?;
    check(&server, &recorded, &recorded.uri)
}

#[test]
fn only_good_tokens_are_let_in() -> anyhow::Result<()> {
    let server = server_at_first()?;
    server.accept_tokens(Some(&["good", "better"]));
    let recorded = Recording::read("services-list-401")?;
    check(&server, &recorded, &recorded.uri)?;
    for (token, code) in [("good", 200), ("better", 200), ("goo", 401), ("", 401)] {
        let said = get_as(server.address(), &recorded.uri, token)?;
        assert_eq!(said.code, code, "{token:?}");
    }
    Ok(())
}

#[test]
fn a_refusal_says_when_to_come_again() -> anyhow::Result<()> {
    let server = server_at_first()?;
    server.faults(|faults| {
        faults.refuse = Some(429);
        faults.retry_after_s = Some(7);
    });
    let said = get(server.address(), "/api/v1/services")?;
    assert_eq!(said.code, 429);
    assert_eq!(said.json()?["details"]["retryAfterSeconds"], 7);
    Ok(())
}

/// By the page "API concepts" of Kubernetes' documentation, sections "Resource versions" and
/// "Streaming lists"; recordings have no such requests.
#[test]
fn versions_and_their_rules_go_together_or_are_refused() -> anyhow::Result<()> {
    let server = server_at_first()?;
    server.put(serde_json::json!({"kind": "Node", "metadata": {"name": "last"}}));
    let now = get(server.address(), "/api/v1/services?limit=1")?.json()?;
    let now = now["metadata"]["resourceVersion"]
        .as_str()
        .context("none")?;
    for (query, code) in [
        ("resourceVersion=0".to_owned(), 200),
        ("resourceVersion=".to_owned(), 200),
        (format!("resourceVersion={now}"), 200),
        (
            format!("resourceVersion={now}&resourceVersionMatch=Exact"),
            200,
        ),
        (
            "resourceVersion=201&resourceVersionMatch=NotOlderThan".to_owned(),
            200,
        ),
        (
            "resourceVersion=0&resourceVersionMatch=NotOlderThan".to_owned(),
            200,
        ),
        (
            "resourceVersion=0&resourceVersionMatch=Exact".to_owned(),
            422,
        ),
        ("resourceVersionMatch=Exact".to_owned(), 422),
        (
            "resourceVersion=9&resourceVersionMatch=Newest".to_owned(),
            422,
        ),
        ("resourceVersion=99999999".to_owned(), 504),
        (
            "resourceVersion=99999999&resourceVersionMatch=Exact".to_owned(),
            504,
        ),
        ("resourceVersion=new".to_owned(), 400),
        ("sendInitialEvents=true".to_owned(), 422),
        (
            "watch=1&sendInitialEvents=true&timeoutSeconds=0".to_owned(),
            422,
        ),
        (
            "watch=1&resourceVersion=1&resourceVersionMatch=NotOlderThan".to_owned(),
            422,
        ),
    ] {
        let said = get(server.address(), &format!("/api/v1/services?{query}"))?;
        assert_eq!(said.code, code, "{query}: {}", said.body);
    }
    // Exactly what was there; anything else shows the present.
    server.delete(Resource::Services, "default", "kubernetes");
    let count = |query: &str| {
        let said = get(server.address(), &format!("/api/v1/services?{query}"))?.json()?;
        anyhow::Ok(said["items"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(
        count(&format!("resourceVersion={now}&resourceVersionMatch=Exact"))?,
        3
    );
    assert_eq!(count(&format!("resourceVersion={now}"))?, 2);
    assert_eq!(count("resourceVersion=0")?, 2);
    Ok(())
}

#[test]
fn watches_are_as_recorded() -> anyhow::Result<()> {
    for resource in Resource::ALL {
        let server = server_at_first()?;
        let recorded = Recording::read(&format!("{}-watch-life", resource.plural()))?;
        let (path, _) = recorded.uri.split_once('?').context("no query")?;
        let list = get(server.address(), path)?.json()?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .context("no version")?;
        play(&server, resource)?;
        let uri = format!(
            "{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={version}"
        );
        check(&server, &recorded, &uri)?;
    }
    Ok(())
}

#[test]
fn a_version_that_is_not_there_yet_is_waited_for() -> anyhow::Result<()> {
    let server = server_at_first()?;
    let recorded = Recording::read("services-watch-future-rv")?;
    let uri = format!("{}&timeoutSeconds=1", recorded.uri);
    check(&server, &recorded, &uri)
}

#[test]
fn a_server_that_stops_breaks_its_watches_off() -> anyhow::Result<()> {
    let server = ApiServer::start()?;
    for item in Recording::read("services-list-after")?.items()? {
        server.put(item);
    }
    let list = get(server.address(), "/api/v1/services")?.json()?;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .context("none")?;
    let recorded = Recording::read("services-watch-server-stops")?;
    let (path, _) = recorded
        .uri
        .split_once("&resourceVersion")
        .context("none")?;
    let uri = format!("{path}&resourceVersion={version}");
    let mut request = Request::send(server.address(), &uri, None)?;
    let mut changed = recorded.lines()?.remove(0);
    server.put(changed["object"].clone());
    request.until("MODIFIED")?;
    server.stop()?;
    let said = request.answer()?;
    assert_eq!(
        (said.code, said.content_type),
        (recorded.code, recorded.content_type)
    );
    let mut said: Value = serde_json::from_str(&said.body)?;
    without_versions(&mut said);
    without_versions(&mut changed);
    assert_eq!(said, changed);
    Ok(())
}

#[test]
fn a_streaming_list_is_as_recorded() -> anyhow::Result<()> {
    let server = server_at_first()?;
    for resource in ["services", "endpointslices"] {
        let recorded = Recording::read(&format!("{resource}-watch-streaming-list"))?;
        let lines = recorded.lines()?;
        let end = "k8s.io/initial-events-end";
        let ends = |line: &Value| !line["object"]["metadata"]["annotations"][end].is_null();
        let end = lines.iter().position(ends).context("no end of the list")?;
        let first = recorded.body.lines().take(end + 1);
        let recorded = Recording {
            body: first.collect::<Vec<_>>().join("\n"),
            ..recorded
        };
        let (path, _) = recorded.uri.split_once('?').context("no query")?;
        let uri = format!(
            "{path}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
             timeoutSeconds=1"
        );
        check(&server, &recorded, &uri)?;
    }
    Ok(())
}

#[test]
fn a_selector_turns_changes_of_labels_into_coming_and_going() -> anyhow::Result<()> {
    let server = ApiServer::start()?;
    let slice = |labels: Value| {
        serde_json::json!({
            "kind": "EndpointSlice", "metadata": {"name": "a", "labels": labels},
        })
    };
    let label = "kubernetes.io/service-name";
    server.put(slice(serde_json::json!({})));
    server.put(slice(serde_json::json!({label: "web"})));
    server.put(slice(serde_json::json!({label: "other"})));
    server.put(slice(serde_json::json!({"x": "y"})));
    let path = "/apis/discovery.k8s.io/v1/endpointslices";
    let query = "watch=1&timeoutSeconds=1&resourceVersion=200";
    let said = get(
        server.address(),
        &format!("{path}?{query}&labelSelector={label}"),
    )?;
    let lines = said.lines()?;
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"]);
    assert_eq!(lines[2]["object"]["metadata"]["resourceVersion"], "204");
    Ok(())
}
