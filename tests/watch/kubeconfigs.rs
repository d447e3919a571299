// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several kubeconfigs, as `$KUBECONFIG` may name them, are one.

use std::{fs, path::PathBuf};

use lb_userspace::{model::Name, watch::cluster::reach::Reach};

use crate::bed::{Bed, server_with};

#[tokio::test]
async fn they_are_merged_as_by_kubectl() -> anyhow::Result<()> {
    let bed = Bed::new(server_with(&["a"])?)?;
    let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
        let path = bed.folder.path().join(name);
        fs::write(&path, format!("apiVersion: v1\nkind: Config\n{text}\n"))?;
        Ok(path)
    };
    let cluster = |url: &str| format!("clusters: [{{name: c, cluster: {{server: '{url}'}}}}]");
    let there = write(
        "there",
        &cluster(&format!("http://{}", bed.server.address())),
    )?;
    let nowhere = write("nowhere", &cluster("http://127.0.0.1:1"))?;
    let context = write(
        "context",
        "users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n\
         current-context: x",
    )?;
    let missing = bed.folder.path().join("missing");
    let name = Name::new("default", "a");
    for paths in [
        [&there, &context, &nowhere],
        [&missing, &context, &there],
        [&there, &nowhere, &context],
    ] {
        let reach = Reach::open(paths.map(Clone::clone).to_vec()).await?;
        assert_eq!(reach.service(&name).await?.changes.len(), 1, "{paths:?}");
    }
    for paths in [
        vec![missing.clone(), missing.clone()],
        vec![there.clone(), nowhere],
        vec![missing],
    ] {
        let error = Reach::open(paths.clone())
            .await
            .map(drop)
            .expect_err("no context");
        let first = paths[0].display().to_string();
        assert!(error.to_string().contains(&first), "{error}");
    }
    Ok(())
}
