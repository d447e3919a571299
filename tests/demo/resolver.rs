// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs in Pods ask for names: the `resolv.conf` that a kubelet writes, in a mount
//! namespace of their own.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use tests::netns::{Lab, Namespace};

use crate::manifests::{Manifests, Name};

/// The cluster's domain, as the agent has it unless told.
const DOMAIN: &str = "cluster.local";

/// The Service that is asked.
pub(crate) fn dns_service() -> Name {
    Name {
        namespace: "kube-system".into(),
        name: "kube-dns".into(),
    }
}

/// Where the file for Pods of this namespace is.
pub(crate) fn path(lab: &Lab, namespace: &str) -> PathBuf {
    lab.dir().join(format!("resolv.{namespace}.conf"))
}

/// Writes the file for Pods of this namespace; none, if no manifest says whom to ask.
pub(crate) fn write(
    lab: &Lab,
    manifests: &Manifests,
    namespace: &str,
) -> anyhow::Result<Option<PathBuf>> {
    let service = manifests.services().remove(&dns_service());
    let spec = service.and_then(|service| service.spec);
    let Some(address) = spec.and_then(|spec| spec.cluster_ip) else {
        return Ok(None);
    };
    let path = path(lab, namespace);
    let text = format!(
        "search {namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}\n\
         nameserver {address}\noptions ndots:5\n"
    );
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(Some(path))
}

/// A command that runs in a Pod, and asks whom the file names.
pub(crate) fn command(
    pod: &Namespace,
    resolv_conf: Option<&Path>,
    program: impl AsRef<OsStr>,
) -> Command {
    let Some(resolv_conf) = resolv_conf else {
        return pod.command(program);
    };
    // A machine without that file has nothing to put it over; its programs then find no names.
    let put = "[ ! -e /etc/resolv.conf ] || mount --bind \"$0\" /etc/resolv.conf; exec \"$@\"";
    let mut command = pod.command("unshare");
    command.args(["--mount", "--propagation", "slave", "sh", "-c", put]);
    command.arg(resolv_conf).arg(program);
    command
}
