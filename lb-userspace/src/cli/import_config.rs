// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche import-config`: what kube-proxy's configuration file means here.

use super::output::{self, Format, Output};
use clap::Args;
use lb_userspace::config::{Given, kube_proxy::File};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_long_help = "\
honoured: it means the same here; changed: it counts, and means something else; ignored: it says
nothing here; unknown: kube-proxy has no such field. `weiche run --config FILE` reads the file so.

Example, for the ConfigMap that kubeadm makes:
    kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\\.conf}' > old.yaml
    weiche import-config old.yaml")]
pub(super) struct ImportConfigArgs {
    /// A `KubeProxyConfiguration` of kubeproxy.config.k8s.io/v1alpha1.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

pub(super) fn execute(args: &ImportConfigArgs) -> anyhow::Result<()> {
    let file = File::read(&args.file)?;
    // Values that cannot be meant are refused here as `weiche run` would.
    file.apply(&mut Given::default())?;
    let fields = file.fields();
    if fields.is_empty() && args.output.format == Format::Table {
        return output::text("the file sets nothing: all is as kube-proxy's defaults have it");
    }
    output::rows(
        args.output.format,
        ["LINE", "FIELD", "VALUE", "HERE", "NOTE"],
        &fields,
        |field| {
            [
                field.line.to_string(),
                field.field.clone(),
                field.value.clone(),
                field.fate.to_string(),
                field.note.to_owned(),
            ]
        },
    )
}
