// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which Pods and Services a folder of manifests asks for, as far as a kubelet cares.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::core::v1::{Pod, Service};
use lb_userspace::bounded;
use serde_json::Value;

/// A manifest may be this long here.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a Pod's manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodManifest {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// The ports that its containers name, whatever their protocol.
    pub(crate) ports: BTreeSet<u16>,
}

/// A followed folder. A file that cannot be read or understood keeps its earlier content.
#[derive(Debug)]
pub(crate) struct Manifests {
    folder: PathBuf,
    node: &'static str,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug, Default)]
struct File {
    text: String,
    pods: Vec<(Name, PodManifest)>,
    services: Vec<(Name, Service)>,
}

impl Manifests {
    /// Follows a folder for the node of this name. Nothing is read yet.
    pub(crate) fn follow(folder: &Path, node: &'static str) -> anyhow::Result<Self> {
        let folder = folder.canonicalize();
        Ok(Self {
            folder: folder.context("the folder of --manifests")?,
            node,
            files: BTreeMap::new(),
        })
    }

    /// The folder, as an absolute path.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the folder anew; returns what is wrong with files that changed.
    pub(crate) fn refresh(&mut self) -> anyhow::Result<Vec<String>> {
        let mut complaints = Vec::new();
        let mut there = BTreeSet::new();
        let what = || format!("reading {}", self.folder.display());
        for entry in fs::read_dir(&self.folder).with_context(what)? {
            let path = entry.with_context(what)?.path();
            let kind = path.extension().and_then(OsStr::to_str);
            if !matches!(kind, Some("yaml" | "yml" | "json")) {
                continue;
            }
            let file = self.files.entry(path.clone()).or_default();
            if let Err(error) = file.refresh(&path, self.node) {
                complaints.push(format!("{}: {error:#}", path.display()));
            }
            there.insert(path);
        }
        self.files.retain(|path, _file| there.contains(path));
        Ok(complaints)
    }

    /// The Pods of this node.
    pub(crate) fn pods(&self) -> BTreeMap<Name, PodManifest> {
        let pods = self.files.values().flat_map(|file| &file.pods);
        pods.cloned().collect()
    }

    /// The Services.
    pub(crate) fn services(&self) -> BTreeMap<Name, Service> {
        let services = self.files.values().flat_map(|file| &file.services);
        services.cloned().collect()
    }
}

impl File {
    fn refresh(&mut self, path: &Path, node: &str) -> anyhow::Result<()> {
        let text = bounded::read_regular_text(path, MAX_BYTES)?;
        if text == self.text {
            return Ok(());
        }
        self.text.clone_from(&text);
        let documents = serde_saphyr::from_multiple::<Value>(&text);
        // Weiche reports the same in full; one line will do here.
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        let documents = documents.map_err(|error| anyhow!(first_line(error.to_string())))?;
        let (mut pods, mut services) = (Vec::new(), Vec::new());
        for document in documents {
            match document["kind"].as_str() {
                Some("Pod") => pods.extend(pod(document, node)?),
                Some("Service") => services.push(service(document)?),
                _ => {}
            }
        }
        (self.pods, self.services) = (pods, services);
        Ok(())
    }
}

fn pod(document: Value, node: &str) -> anyhow::Result<Option<(Name, PodManifest)>> {
    let pod: Pod = serde_json::from_value(document).context("a Pod")?;
    let name = name(pod.metadata.namespace, pod.metadata.name)?;
    let spec = pod
        .spec
        .with_context(|| format!("Pod {name} has no spec"))?;
    if spec.node_name.is_some_and(|name| name != node) {
        return Ok(None);
    }
    let ports = spec
        .containers
        .iter()
        .flat_map(|container| &container.ports);
    let ports = ports.flatten().map(|port| {
        let port = port.container_port;
        let valid = u16::try_from(port).ok().filter(|port| *port != 0);
        valid.with_context(|| format!("Pod {name}: containerPort {port} is none"))
    });
    let manifest = PodManifest {
        labels: pod.metadata.labels.unwrap_or_default(),
        ports: ports.collect::<anyhow::Result<_>>()?,
    };
    Ok(Some((name, manifest)))
}

fn service(document: Value) -> anyhow::Result<(Name, Service)> {
    let service: Service = serde_json::from_value(document).context("a Service")?;
    let metadata = service.metadata.clone();
    Ok((name(metadata.namespace, metadata.name)?, service))
}

/// Names become names of files, links and namespaces here, so they have to be what Kubernetes
/// takes for a name: RFC 1123 labels and dots.
fn name(namespace: Option<String>, name: Option<String>) -> anyhow::Result<Name> {
    let namespace = namespace.unwrap_or_else(|| "default".into());
    let name = name.context("an object without metadata.name")?;
    for part in [&namespace, &name] {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let label = |label: &str| !label.is_empty() && label.bytes().all(fits);
        let valid = part.len() < 200 && part.split('.').all(label) && !part.starts_with('-');
        valid.then_some(()).with_context(|| {
            format!("{part:?} is no name: lower-case letters, digits, `-` and `.` are allowed")
        })?;
    }
    Ok(Name { namespace, name })
}
