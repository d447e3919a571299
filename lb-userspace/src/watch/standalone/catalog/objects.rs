// SPDX-License-Identifier: MIT OR Apache-2.0
//! The merged objects as Kubernetes' types, each with its place.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;

use crate::{
    model::Name,
    watch::{
        standalone::{
            parse::{Key, ManifestKind, typed},
            store::Merged,
        },
        status::Problem,
    },
};

/// All objects; Nodes and Namespaces have an empty namespace.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) services: BTreeMap<Name, Stated<Service>>,
    pub(super) slices: BTreeMap<Name, Stated<EndpointSlice>>,
    pub(super) pods: BTreeMap<Name, Stated<Pod>>,
    pub(super) nodes: BTreeMap<Name, Stated<Node>>,
    pub(super) namespaces: BTreeMap<Name, Stated<Namespace>>,
    broken: BTreeMap<Key, Problem>,
}

/// An object and where it is stated.
#[derive(Debug)]
pub(super) struct Stated<T> {
    pub(super) object: T,
    file: Arc<str>,
    line: u64,
}

impl<T> Stated<T> {
    /// Something that is wrong with this object.
    pub(super) fn problem(&self, object: String, reason: String) -> Problem {
        Problem {
            place: self.file.to_string(),
            line: Some(self.line),
            object: Some(object),
            reason,
        }
    }
}

impl Objects {
    /// Takes in an object's merged form; `None` = nobody states it any more.
    ///
    /// Each document was checked by itself, so a merged one is broken only when two of them
    /// contradict each other in shape; the object's previous form then stays in force.
    pub(super) fn update(&mut self, key: &Key, merged: Option<Merged>) {
        self.broken.remove(key);
        let broken = match key.kind {
            ManifestKind::Service => set(&mut self.services, key, merged),
            ManifestKind::EndpointSlice => set(&mut self.slices, key, merged),
            ManifestKind::Pod => set(&mut self.pods, key, merged),
            ManifestKind::Node => set(&mut self.nodes, key, merged),
            ManifestKind::Namespace => set(&mut self.namespaces, key, merged),
        };
        if let Some(problem) = broken {
            self.broken.insert(key.clone(), problem);
        }
    }

    /// Objects whose merged form is broken.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.broken.values().cloned()
    }
}

fn set<T: DeserializeOwned>(
    objects: &mut BTreeMap<Name, Stated<T>>,
    key: &Key,
    merged: Option<Merged>,
) -> Option<Problem> {
    let Some(Merged { value, file, line }) = merged else {
        objects.remove(&key.name);
        return None;
    };
    match typed(&value) {
        Ok(object) => {
            objects.insert(key.name.clone(), Stated { object, file, line });
            None
        }
        Err(error) => Some(Problem {
            place: file.to_string(),
            line: Some(line),
            object: Some(key.describe()),
            reason: format!(
                "merged with its documents in later folders, {}: {}",
                error.path(),
                error.inner()
            ),
        }),
    }
}
