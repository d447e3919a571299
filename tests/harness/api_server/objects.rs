// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects, their versions, and how the present came about. Knows no HTTP.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

/// A server that has run for a while: nothing begins at version 1.
const FIRST_VERSION: u64 = 200;

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `services`.
    Services,
    /// `endpointslices`.
    EndpointSlices,
    /// `nodes`.
    Nodes,
    /// `namespaces`.
    Namespaces,
    /// `pods`: not followed by an agent, and forwarded to.
    Pods,
}

impl Resource {
    /// All that every agent follows.
    pub const ALL: [Self; 3] = [Self::Services, Self::EndpointSlices, Self::Nodes];

    /// All that there are.
    pub const SERVED: [Self; 5] = [
        Self::Services,
        Self::EndpointSlices,
        Self::Nodes,
        Self::Namespaces,
        Self::Pods,
    ];

    /// As paths and refusals call it.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::Nodes => "nodes",
            Self::Namespaces => "namespaces",
            Self::Pods => "pods",
        }
    }

    /// The kind of its objects.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Services => "Service",
            Self::EndpointSlices => "EndpointSlice",
            Self::Nodes => "Node",
            Self::Namespaces => "Namespace",
            Self::Pods => "Pod",
        }
    }

    /// Group and version of its objects.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Services | Self::Nodes | Self::Namespaces | Self::Pods => "v1",
            Self::EndpointSlices => "discovery.k8s.io/v1",
        }
    }

    /// Whether its objects are in namespaces.
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Nodes | Self::Namespaces)
    }
}

/// Resource, namespace, name: lists come in this order.
type Key = (Resource, String, String);
type State = BTreeMap<Key, Arc<Value>>;

/// One step from a version to the next.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) resource: Resource,
    /// As it was; `None`: it is new.
    pub(super) before: Option<Arc<Value>>,
    /// As it is; `None`: it is gone.
    pub(super) after: Option<Arc<Value>>,
    key: Key,
}

/// All objects of all versions since the last compaction.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    version: u64,
    current: State,
    /// The oldest version that is still known, and its objects.
    oldest: (u64, State),
    events: Vec<Event>,
    /// The last step that is forgotten.
    forgotten: u64,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            version: FIRST_VERSION,
            current: State::new(),
            oldest: (FIRST_VERSION, State::new()),
            events: Vec::new(),
            forgotten: 0,
        }
    }
}

impl Objects {
    /// The present version.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The oldest version that is still known.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest.0
    }

    /// Makes or changes an object and gives it a version, and a uid when it is new.
    pub(super) fn put(&mut self, mut object: Value) -> u64 {
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = Resource::SERVED.into_iter().find(|it| it.kind() == kind);
        let resource = resource.unwrap_or_else(|| panic!("kind {kind:?} is not served"));
        let fields = object.as_object_mut().expect("an object is a map");
        fields.remove("kind");
        fields.remove("apiVersion");
        let metadata = fields
            .entry("metadata")
            .or_insert_with(|| Map::new().into());
        let text = |field: &str| metadata[field].as_str().map(str::to_owned);
        let name = text("name").expect("an object has a name");
        let given = || text("namespace").unwrap_or_else(|| "default".to_owned());
        let namespace = resource.is_namespaced().then(given);
        let key = (resource, namespace.clone().unwrap_or_default(), name);
        let before = self.current.get(&key).cloned();
        self.version += 1;
        let born = before
            .as_ref()
            .map(|before| before["metadata"]["uid"].clone());
        if metadata["uid"].is_null() {
            let made = || format!("00000000-0000-4000-8000-{:012}", self.version).into();
            metadata["uid"] = born.unwrap_or_else(made);
        }
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        metadata["resourceVersion"] = self.version.to_string().into();
        let after = Some(Arc::new(object));
        self.step(key, before, after);
        self.version
    }

    /// Deletes an object; `None` when it is not there.
    pub(super) fn delete(
        &mut self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Option<u64> {
        let key = (resource, namespace.to_owned(), name.to_owned());
        let before = self.current.get(&key)?.clone();
        self.version += 1;
        self.step(key, Some(before), None);
        Some(self.version)
    }

    /// One object as it is now.
    pub(super) fn one(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let key = (resource, namespace.to_owned(), name.to_owned());
        self.current.get(&key).cloned()
    }

    /// Forgets all versions but the present one.
    pub(super) fn compact(&mut self) {
        self.forgotten = self
            .events
            .last()
            .map_or(self.forgotten, |last| last.version);
        // A version of its own, so that even the last one that anybody saw is gone.
        self.version += 1;
        self.oldest = (self.version, self.current.clone());
        self.events.clear();
    }

    /// The objects of a resource at a version; `None` when it is gone or not there yet.
    pub(super) fn at(&self, version: u64, resource: Resource) -> Option<Vec<Arc<Value>>> {
        if version < self.oldest.0 || version > self.version {
            return None;
        }
        let mut state = self.oldest.1.clone();
        for event in self
            .events
            .iter()
            .take_while(|event| event.version <= version)
        {
            match &event.after {
                Some(after) => state.insert(event.key.clone(), after.clone()),
                None => state.remove(&event.key),
            };
        }
        let of_resource = state.into_iter().filter(|((it, ..), _)| *it == resource);
        Some(of_resource.map(|(_, object)| object).collect())
    }

    /// Whether a watch can begin at a version.
    pub(super) fn knows(&self, version: u64) -> bool {
        version >= self.oldest.0
    }

    /// What happened to a resource after a version that a watch has reached; `None` when that is
    /// forgotten.
    pub(super) fn since(&self, version: u64, resource: Resource) -> Option<Vec<Event>> {
        if version < self.forgotten {
            return None;
        }
        let later = self.events.iter().filter(|event| event.version > version);
        Some(
            later
                .filter(|event| event.resource == resource)
                .cloned()
                .collect(),
        )
    }

    fn step(&mut self, key: Key, before: Option<Arc<Value>>, after: Option<Arc<Value>>) {
        match &after {
            Some(after) => self.current.insert(key.clone(), after.clone()),
            None => self.current.remove(&key),
        };
        self.events.push(Event {
            version: self.version,
            resource: key.0,
            before,
            after,
            key,
        });
    }
}
