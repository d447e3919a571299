// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where commands that are about Pods find them.

use clap::Args;
use lb_userspace::port_forward::Through;
use std::{env, path::PathBuf};

#[derive(Clone, Debug, Args)]
pub(super) struct PodsArgs {
    /// The namespace.
    #[arg(short = 'n', long, default_value = "default")]
    namespace: String,
    /// Folder of manifests, as `weiche run` follows them, Pods' status included. Without it, Pods
    /// are those of a cluster.
    #[arg(long, value_name = "DIR")]
    manifests: Vec<PathBuf>,
    /// How the API server is reached, with whose rights [default: the files of $KUBECONFIG, merged
    /// as by kubectl, ~/.kube/config, or what Kubernetes gives to Pods].
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    kubeconfig: Option<PathBuf>,
}

impl PodsArgs {
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The way to Pods, from a network namespace where it is a straight one.
    pub(super) fn through(&self, netns: Option<PathBuf>) -> Through {
        if self.manifests.is_empty() {
            Through::ApiServer {
                kubeconfigs: match &self.kubeconfig {
                    Some(path) => vec![path.clone()],
                    None => usual_kubeconfigs(),
                },
            }
        } else {
            Through::Straight {
                manifests: self.manifests.clone(),
                namespace: netns,
            }
        }
    }
}

/// Where kubectl looks as well.
fn usual_kubeconfigs() -> Vec<PathBuf> {
    let named = env::var_os("KUBECONFIG").unwrap_or_default();
    let mut paths: Vec<_> = env::split_paths(&named).collect();
    paths.retain(|path| !path.as_os_str().is_empty());
    if paths.is_empty() {
        let home = env::var_os("HOME").map(PathBuf::from);
        let path = home.map(|home| home.join(".kube/config"));
        paths.extend(path.filter(|path| path.exists()));
    }
    paths
}
