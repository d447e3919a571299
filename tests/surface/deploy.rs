// SPDX-License-Identifier: MIT OR Apache-2.0
//! `deploy/`: valid objects, as kube-proxy's where they do its job, and rights for exactly what is
//! asked of the API server.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{ConfigMap, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use lb_userspace::watch::cluster::{self, Settings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tests::{
    api_server::ApiServer,
    rights::{add, allowed, allowed_with_names, asked, documents},
};
use tokio::{sync::mpsc, time::timeout};

/// A document as its type has it; a field that the type lacks is refused.
fn typed<T: DeserializeOwned + Serialize>(document: &Value) -> anyhow::Result<T> {
    let object: T = serde_json::from_value(document.clone())?;
    let again = serde_json::to_value(&object)?;
    unknown(document, &again, "")?;
    Ok(object)
}

fn unknown(given: &Value, known: &Value, path: &str) -> anyhow::Result<()> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given {
                let path = format!("{path}.{key}");
                let known = known
                    .get(key)
                    .with_context(|| format!("there is no field {path}"))?;
                unknown(value, known, &path)?;
            }
        }
        (Value::Array(given), Value::Array(known)) if given.len() == known.len() => {
            for (given, known) in given.iter().zip(known) {
                unknown(given, known, path)?;
            }
        }
        (given, known) => ensure!(given == known, "{path}: {given} is read as {known}"),
    }
    Ok(())
}

fn of_kind<T: DeserializeOwned + Serialize>(kind: &str) -> anyhow::Result<T> {
    let documents = documents("cluster/weiche.yaml")?;
    let found = documents.iter().find(|document| document["kind"] == kind);
    typed(found.with_context(|| format!("no {kind}"))?)
}

#[test]
fn every_document_is_of_its_type() -> anyhow::Result<()> {
    let documents = documents("cluster/weiche.yaml")?;
    assert_eq!(documents.len(), 5);
    for document in &documents {
        match document["kind"].as_str() {
            Some("ServiceAccount") => drop(typed::<ServiceAccount>(document)?),
            Some("ClusterRole") => drop(typed::<ClusterRole>(document)?),
            Some("ClusterRoleBinding") => drop(typed::<ClusterRoleBinding>(document)?),
            Some("ConfigMap") => drop(typed::<ConfigMap>(document)?),
            Some("DaemonSet") => drop(typed::<DaemonSet>(document)?),
            other => bail!("unexpected {other:?}"),
        }
    }
    let mut misspelt = documents[4].clone();
    misspelt["spec"]["template"]["spec"]["hostNetworking"] = true.into();
    let refused = typed::<DaemonSet>(&misspelt).map(drop);
    let said = refused
        .err()
        .context("a field that does not exist is seen")?
        .to_string();
    assert!(said.contains("hostNetworking"), "{said}");
    Ok(())
}

/// A base that holds the folder of who names it is a cycle, as kustomize sees it.
#[test]
fn bases_are_the_plain_file_and_hold_no_overlay() -> anyhow::Result<()> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for (folder, resource) in [
        (".", "cluster"),
        ("dns", "../cluster"),
        ("cluster", "weiche.yaml"),
    ] {
        let base = &documents(&format!("{folder}/kustomization.yaml"))?[0];
        assert_eq!(base["resources"], serde_json::json!([resource]));
        let folder = deploy.join(folder).canonicalize()?;
        let resource = folder.join(resource).canonicalize()?;
        assert!(!folder.starts_with(&resource), "{}", folder.display());
    }
    Ok(())
}

#[test]
fn it_runs_where_kube_proxy_runs() -> anyhow::Result<()> {
    let set: DaemonSet = of_kind("DaemonSet")?;
    let account: ServiceAccount = of_kind("ServiceAccount")?;
    let spec = set.spec;
    let labels = spec.template.metadata.and_then(|metadata| metadata.labels);
    assert_eq!(spec.selector.match_labels, labels);
    let pod = spec.template.spec.context("a pod's spec")?;
    assert_eq!(pod.service_account_name, account.metadata.name);
    assert_eq!(pod.host_network, Some(true));
    assert_eq!(
        pod.priority_class_name.as_deref(),
        Some("system-node-critical")
    );
    let tolerations = pod.tolerations.context("tolerations")?;
    let all = tolerations
        .iter()
        .any(|it| it.operator.as_deref() == Some("Exists") && it.key.is_none());
    assert!(all, "everything is tolerated");
    let container = &pod.containers[0];
    let image = container.image.as_deref().context("an image")?;
    assert_eq!(image, concat!("weiche:", env!("CARGO_PKG_VERSION")));
    for (probe, path) in [
        (&container.liveness_probe, "/livez"),
        (&container.readiness_probe, "/readyz"),
    ] {
        let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref());
        assert_eq!(get.and_then(|get| get.path.as_deref()), Some(path));
    }
    // Whatever is mounted is declared.
    let volumes: BTreeSet<_> = pod.volumes.iter().flatten().map(|it| &it.name).collect();
    let mounts: BTreeSet<_> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|it| &it.name)
        .collect();
    assert_eq!(volumes, mounts);
    // The API server is reached without a Service.
    let map: ConfigMap = of_kind("ConfigMap")?;
    let keys: Vec<_> = map
        .data
        .iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect();
    assert_eq!(keys, ["host", "port"]);
    let from_map = container.env.iter().flatten().filter_map(|env| {
        let source = env.value_from.as_ref()?.config_map_key_ref.as_ref()?;
        assert_eq!(Some(&source.name), map.metadata.name.as_ref());
        Some((env.name.as_str(), source.key.as_str()))
    });
    let from_map: Vec<_> = from_map.collect();
    assert_eq!(
        from_map,
        [
            ("KUBERNETES_SERVICE_HOST", "host"),
            ("KUBERNETES_SERVICE_PORT", "port")
        ]
    );
    Ok(())
}

#[tokio::test]
async fn the_role_allows_what_is_asked_and_nothing_else() -> anyhow::Result<()> {
    for (namespaces, kinds, allowed) in [(false, 3, allowed()?), (true, 4, allowed_with_names()?)] {
        let server = ApiServer::start()?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, server.kubeconfig())?;
        let settings = Settings {
            kubeconfig: Some(kubeconfig),
            namespaces,
            ..Settings::default()
        };
        let (sender, mut changes) = mpsc::channel(16);
        let _watching = cluster::spawn(settings, sender).await?;
        let lists_and_watches = async {
            while asked(&server)?.len() < 2 * kinds {
                // Whether or not something came: what counts is what was asked.
                let _change = timeout(Duration::from_millis(50), changes.recv()).await;
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(20), lists_and_watches).await??;
        assert_eq!(asked(&server)?, allowed);
    }
    let role: ClusterRole = of_kind("ClusterRole")?;
    let binding: ClusterRoleBinding = of_kind("ClusterRoleBinding")?;
    assert_eq!(Some(binding.role_ref.name), role.metadata.name);
    Ok(())
}

#[test]
fn names_are_served_where_they_are_asked_for() -> anyhow::Result<()> {
    let overlay = &documents("dns/kustomization.yaml")?[0];
    let patches = overlay["patches"].as_array().context("patches")?;
    assert_eq!(patches.len(), 2);
    let documents = documents("cluster/weiche.yaml")?;
    for patch in patches {
        let kind = &patch["target"]["kind"];
        let document = documents.iter().find(|it| it["kind"] == *kind);
        let mut document = document.context("no such document")?.clone();
        assert_eq!(document["metadata"]["name"], patch["target"]["name"]);
        let path = patch["path"].as_str().context("a file")?;
        add(&mut document, &format!("dns/{path}"))?;
        if *kind == "DaemonSet" {
            let set: DaemonSet = typed(&document)?;
            let pod = set.spec.template.spec.context("a pod's spec")?;
            let args = pod.containers[0].args.clone().unwrap_or_default();
            assert_eq!(args, ["run", "--dns-listen=169.254.20.10"]);
        }
    }
    Ok(())
}
