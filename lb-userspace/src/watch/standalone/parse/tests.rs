// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows: a text, the objects that it gives, and the lines of what is wrong.

use super::*;

fn check(what: &str, text: &str, objects: &[&str], problems: &[&str]) {
    let parsed = parse("m.yaml", text);
    let found = parsed.documents.iter();
    let found: Vec<String> = found
        .map(|document| format!("{}@{}", document.key.describe(), document.line))
        .collect();
    assert_eq!(found, objects, "{what}: {:?}", parsed.problems);
    let said: Vec<String> = parsed.problems.iter().map(Problem::to_string).collect();
    assert_eq!(said.len(), problems.len(), "{what}: {said:#?}");
    for (said, want) in said.iter().zip(problems) {
        assert!(said.contains(want), "{what}: {said:?} lacks {want:?}");
    }
}

const GOOD: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n";

#[test]
fn documents() {
    check("empty", "", &[], &[]);
    check("comments only", "# nothing\n---\n# here\n---\n", &[], &[]);
    check("one", GOOD, &["Service default/web@1"], &[]);
    check(
        "two, with comments, CRLF and a marker's comment",
        "# head\r\n--- # first\r\napiVersion: v1\r\nkind: Pod\r\nmetadata: {name: a, namespace: n}\r\n---\r\napiVersion: v1\r\nkind: Node\r\nmetadata: {name: b}\r\n",
        &["Pod n/a@3", "Node b@7"],
        &[],
    );
    check(
        "another's kinds are ignored quietly",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}\n",
        &[],
        &[],
    );
    check(
        "lists: items of a typed list say no kind",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ServiceList\n  items:\n  - metadata: {name: a}\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: n}\n",
        &["Service default/a@7", "Namespace n@8"],
        &[],
    );
    check(
        "a separator inside a block scalar is text when indented",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    text: |\n      a\n      ---\n      b\n",
        &["Pod default/a@1"],
        &[],
    );
    check(
        "JSON with tabs and escapes",
        "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\"name\": \"a\", \"annotations\": {\"x\": \"\\u003c\\/\\ud83d\\ude00\"}}\n}\n",
        &["Pod default/a@1"],
        &[],
    );
}

#[test]
fn broken_documents_are_named_by_line_and_cost_only_themselves() {
    let around = |broken: &str| format!("{GOOD}---\n{broken}---\n{GOOD}");
    let good = |last: &str| {
        [
            "Service default/web@1".to_owned(),
            format!("Service default/web@{last}"),
        ]
    };
    for (what, broken, last, problem) in [
        (
            "a text where a number belongs",
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: bad\nspec:\n  ports:\n  - name: x\n    port: eighty\n",
            "15",
            "m.yaml:13: Service default/bad: spec.ports[0].port: invalid type: string \"eighty\", expected i32",
        ),
        ("syntax", "apiVersion: v1\nkind: [\n", "9", "m.yaml:7: "),
        (
            "a tab",
            "apiVersion: v1\nkind:\n\tService: x\n",
            "10",
            "m.yaml:8: ",
        ),
        (
            "twice the same key",
            "kind: Pod\nkind: Service\n",
            "9",
            "m.yaml:7: ",
        ),
        (
            "no kind",
            "apiVersion: v1\nmetadata: {name: a}\n",
            "9",
            "m.yaml:6: apiVersion or kind is missing",
        ),
        (
            "no name",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}\n",
            "11",
            "m.yaml:9: this Pod has no metadata.name",
        ),
        (
            "no name that an API server takes",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"a\\nb\"\n",
            "11",
            "m.yaml:9: \"a\\nb\" is no name of a Pod (RFC 1123)",
        ),
        (
            "text",
            "hello\n",
            "8",
            "m.yaml:6: this is no Kubernetes object",
        ),
        (
            "a number as a label",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    app: 1\n",
            "13",
            "m.yaml:11: Pod default/a: metadata.labels.app: invalid type: integer `1`, expected a string",
        ),
    ] {
        let good = good(last);
        check(what, &around(broken), &[&good[0], &good[1]], &[problem]);
    }
}

#[test]
fn aliases_cannot_blow_up() {
    let levels = (1..9).map(|level| {
        let below = format!("*a{}", level - 1);
        format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "))
    });
    let bomb: String = levels.collect();
    let parsed = parse(
        "m.yaml",
        &format!("a0: &a0 [{}]\n{bomb}", ["x"; 10].join(", ")),
    );
    assert_eq!(parsed.documents.len(), 0);
    assert_eq!(parsed.problems.len(), 1, "{:?}", parsed.problems);
}

#[test]
fn fields_that_nobody_knows_are_named_and_harm_nothing() {
    let text = "\
apiVersion: v1
kind: Service
metadata:
  name: web
  label: {app: web}
sepc: {}
spec:
  clusterip: 10.96.0.10
  selectors:
    app: web
  banana: 1
  ports:
  - port: 80
    target-port: 8080
    protocol: TCP
---
apiVersion: v1
kind: Pod
metadata: {name: a, annotations: {any: thing}}
spec: {containers: [{name: c, ports: [{containerport: 80}]}]}
";
    let parsed = parse("m.yaml", text);
    let said: Vec<String> = parsed.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        said,
        [
            "m.yaml:6: Service default/web: unknown field sepc does nothing; did you mean spec?",
            "m.yaml:5: Service default/web: unknown field metadata.label does nothing; \
             did you mean labels?",
            "m.yaml:11: Service default/web: unknown field spec.banana does nothing",
            "m.yaml:8: Service default/web: unknown field spec.clusterip does nothing; \
             did you mean clusterIP?",
            "m.yaml:9: Service default/web: unknown field spec.selectors does nothing; \
             did you mean selector?",
            "m.yaml:14: Service default/web: unknown field spec.ports[0].target-port does \
             nothing; did you mean targetPort?",
            "m.yaml:20: Pod default/a: unknown field spec.containers[0].ports[0].containerport \
             does nothing; did you mean containerPort?",
        ]
    );
    assert_eq!(parsed.documents.len(), 2, "{:?}", parsed.problems);
    assert!(parsed.problems.is_empty(), "a warning is no problem");
}

#[test]
fn objects_that_are_not_read_are_named_where_somebody_may_count_on_them() {
    let text = "\
{apiVersion: v2, kind: Service, metadata: {name: web}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}
---
{apiVersion: v1, kind: Endpoints}
---
{apiVersion: discovery.k8s.io/v1beta1, kind: EndpointSlice, metadata: {name: web-1}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: web}}
";
    let parsed = parse("m.yaml", text);
    let said: Vec<String> = parsed.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        said,
        [
            "m.yaml:1: Service web: Services are read by apiVersion v1 alone, and this is v2",
            "m.yaml:3: Deployment web: nobody makes the Pods of a Deployment here: add them, with \
             status.podIPs",
            "m.yaml:5: Endpoints are not read: write an EndpointSlice",
            "m.yaml:7: EndpointSlice web-1: EndpointSlices are read by apiVersion \
             discovery.k8s.io/v1 alone, and this is discovery.k8s.io/v1beta1",
        ]
    );
    assert!(parsed.documents.is_empty() && parsed.problems.is_empty());
}

#[test]
fn numbers_out_of_range_are_named_by_line() {
    for port in [".nan", "-.inf", "99999999999", "80.5", "1e3"] {
        let text = GOOD.replace("80", port);
        check(port, &text, &[], &["m.yaml:4: "]);
    }
    let far = "99999999999999999999999999999999";
    assert_eq!(parse("m.yaml", &GOOD.replace("80", far)).problems.len(), 1);
}
