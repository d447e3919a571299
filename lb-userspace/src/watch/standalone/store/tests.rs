// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows: files put and removed, and the object that results.

use serde_json::json;

use super::{super::parse::parse, *};

const POD: &str =
    "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: x}}, spec: {nodeName: n}}";

fn put(store: &mut Store, folder: usize, path: &str, text: &str) -> BTreeSet<Key> {
    let path: Arc<str> = path.into();
    store.put(
        &FileId {
            folder,
            path: path.clone(),
        },
        parse(&path, text),
    )
}

fn only(store: &Store) -> Vec<Value> {
    let merged = store.stated_in.keys().filter_map(|key| store.merged(key));
    merged.map(|merged| merged.value).collect()
}

#[test]
fn a_later_folder_completes_an_earlier_one() {
    let mut store = Store::default();
    put(
        &mut store,
        1,
        "status.json",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"more": "y"}},
            "status": {"podIPs": [{"ip": "10.0.0.1"}]}}"#,
    );
    let touched = put(&mut store, 0, "a.yaml", POD);
    assert_eq!(touched.len(), 1);
    assert_eq!(
        only(&store),
        [json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "labels": {"app": "x", "more": "y"}},
            "spec": {"nodeName": "n"},
            "status": {"podIPs": [{"ip": "10.0.0.1"}]},
        })]
    );
    store.remove(&FileId {
        folder: 1,
        path: "status.json".into(),
    });
    assert_eq!(only(&store)[0]["status"], Value::Null);
    assert_eq!(store.problems(), []);
}

#[test]
fn the_first_document_of_a_folder_wins() {
    let mut store = Store::default();
    put(&mut store, 0, "b.yaml", &POD.replace("app: x", "app: b"));
    put(
        &mut store,
        0,
        "a.yaml",
        &format!("{}\n---\n{POD}", POD.replace("app: x", "app: a")),
    );
    assert_eq!(only(&store)[0]["metadata"]["labels"]["app"], "a");
    let problems: Vec<String> = store.problems().iter().map(Problem::to_string).collect();
    assert_eq!(
        problems,
        [
            "a.yaml:3: Pod default/a: stated before, in a.yaml:1; this one is ignored",
            "b.yaml:1: Pod default/a: stated before, in a.yaml:1; this one is ignored",
        ]
    );
}

#[test]
fn what_a_broken_file_stated_stays_in_force() {
    let mut store = Store::default();
    put(
        &mut store,
        0,
        "a.yaml",
        &format!("{POD}\n---\n{}", POD.replace("name: a", "name: b")),
    );
    let both = only(&store);
    put(&mut store, 0, "a.yaml", &format!("{POD}\n---\nkind: ["));
    assert_eq!(only(&store), both);
    assert_eq!(store.problems().len(), 1);
    // Broken again, and again: the good version is not forgotten.
    put(&mut store, 0, "a.yaml", "kind: [");
    store.unreadable(
        &FileId {
            folder: 0,
            path: "a.yaml".into(),
        },
        Problem {
            place: "a.yaml".into(),
            line: None,
            object: None,
            reason: "gone".into(),
        },
    );
    assert_eq!(only(&store), both);
    assert_eq!(store.problems().len(), 1);
    let touched = put(&mut store, 0, "a.yaml", POD);
    assert_eq!((touched.len(), only(&store).len()), (2, 1));
    assert_eq!(store.problems(), []);
}

#[test]
fn merging_is_json_merge_patch() {
    // The examples of RFC 7386, appendix A, that a manifest can hold.
    for (target, patch, want) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ] {
        let mut merged = target.clone();
        merge(&mut merged, &patch);
        assert_eq!(merged, want, "{target} + {patch}");
    }
}
