// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects that are no objects of their kind, as a server of another version may send them: each
//! is refused by name, and costs nothing but itself.

use lb_userspace::{model::Kind, watch::status::Status};
use serde_json::{Value, json};
use tests::api_server::Resource;

use crate::{
    bed::{Bed, has, server_with, service},
    seen::Seen,
};

/// A Service whose port is a word.
fn worded(name: &str) -> Value {
    let mut worded = service(name, "10.96.0.9");
    worded["spec"]["ports"] = json!([{"port": 80}, {"port": "eighty"}]);
    worded
}

fn slice(name: &str, endpoints: &Value) -> Value {
    json!({
        "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "a"}},
        "endpoints": endpoints, "ports": [{"name": "", "port": 80}],
    })
}

const OF_SERVICE: &str = "services: Service default/worded: cannot be read: spec.ports[1].port: \
                          invalid type: string \"eighty\", expected i32; what was read of it \
                          before stays in force, if anything was";

#[tokio::test]
async fn a_list_goes_on_around_them() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a", "b", "z"])?)?;
    bed.server.put(worded("worded"));
    bed.server
        .put(slice("good", &json!([{"addresses": ["10.244.0.1"]}])));
    bed.server
        .put(slice("odd", &json!([{"addresses": "10.244.0.2"}])));
    bed.server
        .put(json!({"kind": "Node", "metadata": {"name": "good"}}));
    bed.server
        .put(json!({"kind": "Node", "metadata": {"name": "odd", "labels": []}}));
    // Some are on pages of their own, some are not.
    bed.server
        .faults_of(Resource::Services, |faults| faults.page = Some(1));
    let stream = bed.started().await?;
    assert_eq!(stream.seen.services.len(), 3);
    assert_eq!(stream.seen.ready("a"), ["10.244.0.1"]);
    assert_eq!(
        stream
            .seen
            .nodes
            .keys()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["good"]
    );
    let problems = stream.problems();
    let begins = |problem: &String, start: &str| {
        assert!(
            problem.starts_with(start),
            "{problem} does not begin with {start}"
        );
    };
    assert_eq!(problems.len(), 3, "{problems:#?}");
    begins(
        &problems[0],
        "endpointslices: EndpointSlice default/odd: cannot be read: endpoints[0].addresses: ",
    );
    begins(
        &problems[1],
        "nodes: Node odd: cannot be read: metadata.labels: ",
    );
    assert_eq!(problems[2], OF_SERVICE);
    let counts = stream.status().unreadable;
    let counts: Vec<_> = counts
        .iter()
        .map(|(kind, count)| (&**kind, *count))
        .collect();
    assert_eq!(counts, [("EndpointSlice", 1), ("Node", 1), ("Service", 1)]);
    Ok(())
}

#[tokio::test]
async fn what_was_read_of_them_stays_until_they_go() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a", "worded"])?)?;
    let mut stream = bed.started().await?;
    let said = |status: &Status| !status.problems.is_empty();
    let well = |status: &Status| status.problems.is_empty() && status.unreadable.is_empty();
    bed.server.put(worded("worded"));
    bed.server.put(service("b", "10.96.0.2"));
    stream
        .until("the next change", |seen| has(seen, "b"))
        .await?;
    stream.status_until("a word about it", said).await?;
    assert_eq!(stream.problems(), [OF_SERVICE]);
    assert_eq!(stream.seen.cluster_ips("worded"), ["10.96.0.1"]);
    assert_eq!(stream.seen.listed[&Kind::Service], 1, "no new list for it");

    // A new list has it as well, and it stays known all the same.
    bed.server.stop()?;
    bed.server.compact();
    bed.server.restart()?;
    let relisted = |seen: &Seen| seen.listed[&Kind::Service] == 2;
    stream.until("a new list", relisted).await?;
    assert_eq!(stream.seen.cluster_ips("worded"), ["10.96.0.1"]);
    let alone = |status: &Status| status.problems.len() == 1;
    stream.status_until("only that problem", alone).await?;
    assert_eq!(stream.problems(), [OF_SERVICE]);

    bed.server.put(service("worded", "10.96.0.3"));
    let mended = |seen: &Seen| seen.cluster_ips("worded") == ["10.96.0.3"];
    stream.until("it is mended", mended).await?;
    stream.status_until("no word about it", well).await?;

    bed.server.put(worded("worded"));
    stream.status_until("a word again", said).await?;
    assert!(bed.server.delete(Resource::Services, "default", "worded"));
    stream
        .until("it is gone", |seen| !has(seen, "worded"))
        .await?;
    stream.status_until("nothing more to say", well).await
}
