// SPDX-License-Identifier: MIT OR Apache-2.0
//! One object of a list or a watch: read, or named and refused by itself.
//!
//! A list whose one bad object fails it would cost all the others, on every node at once. A server
//! checks its objects, so one that cannot be read is of a version that says things in another way
//! than ours expects.

use kube::{Resource, ResourceExt as _};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::model::Name;

/// An object as the server has sent it.
#[derive(Clone, Debug)]
pub(super) enum Read<K> {
    /// It is what it should be.
    Whole(K),
    /// It is not.
    Refused(Refused),
}

/// What can be told of an object that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// `None`: not even that.
    pub(super) name: Option<Name>,
    version: Option<String>,
    /// Which field, and what is wrong with it.
    pub(super) why: String,
}

impl<K: Resource> Read<K> {
    /// Namespace and name; the namespace of Nodes is empty.
    pub(super) fn name(&self) -> Option<Name> {
        match self {
            Self::Whole(object) => {
                let namespace = object.namespace().unwrap_or_default();
                Some(Name::new(&namespace, &object.name_any()))
            }
            Self::Refused(refused) => refused.name.clone(),
        }
    }

    /// The version that its change has led to.
    pub(super) fn version(&self) -> Option<String> {
        match self {
            Self::Whole(object) => object.resource_version(),
            Self::Refused(refused) => refused.version.clone(),
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Read<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(refused) = Refused::by_name(&value) {
            return Ok(Self::Refused(refused));
        }
        Ok(match K::deserialize(&value) {
            Ok(object) => Self::Whole(object),
            Err(error) => Self::Refused(Refused::of::<K>(&value, &error)),
        })
    }
}

/// Characters of an object's name at most (RFC 1123, as Kubernetes reads it).
const LONGEST: usize = 253;

impl Refused {
    /// Names that no API server gives out: in a log or on a terminal, they could be anything.
    fn by_name(value: &Value) -> Option<Self> {
        let metadata = &value["metadata"];
        let is_name = |text: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
            text.len() <= LONGEST && text.bytes().all(known)
        };
        ["name", "namespace"].into_iter().find_map(|field| {
            let text = metadata[field].as_str().filter(|text| !is_name(text))?;
            let some: String = text.chars().take(60).collect();
            Some(Self {
                name: None,
                version: metadata["resourceVersion"].as_str().map(str::to_owned),
                why: format!("metadata.{field}: {some:?} is no name of an object"),
            })
        })
    }

    fn of<K: DeserializeOwned>(value: &Value, error: &serde_json::Error) -> Self {
        let metadata = &value["metadata"];
        let text = |field: &str| metadata[field].as_str().filter(|text| !text.is_empty());
        let namespace = text("namespace").unwrap_or_default();
        Self {
            name: text("name").map(|name| Name::new(namespace, name)),
            version: text("resourceVersion").map(str::to_owned),
            // Read again, since keeping the path costs something for each field.
            why: match serde_path_to_error::deserialize::<_, K>(value) {
                Err(error) if error.path().iter().next().is_some() => {
                    let path = error.path().to_string();
                    // Keys are text of others', which may hold anything.
                    format!("{}: {}", path.escape_debug(), error.inner())
                }
                _ => error.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_refused_says_who_and_where() {
        for (object, name, why) in [
            (
                json!(7),
                None,
                "invalid type: integer `7`, expected Service",
            ),
            (
                json!({"metadata": {"name": "a", "namespace": "b"}, "kind": "Pod"}),
                Some(Name::new("b", "a")),
                "invalid value: string \"Pod\", expected Service",
            ),
            (
                json!({"metadata": {"name": ["a"]}}),
                None,
                "metadata.name: invalid type: sequence, expected a string",
            ),
            (
                json!({"metadata": {"name": "a", "labels": {"\u{1b}[2J": 1}}}),
                Some(Name::new("", "a")),
                "metadata.labels.\\u{1b}[2J: invalid type: integer `1`, expected a string",
            ),
            (
                json!({"metadata": {"name": "a\n\u{1b}[31mb"}}),
                None,
                "metadata.name: \"a\\n\\u{1b}[31mb\" is no name of an object",
            ),
        ] {
            let read: Read<Service> = serde_json::from_value(object).expect("it is never an error");
            let Read::Refused(refused) = read else {
                panic!("{read:?} is no Service");
            };
            assert_eq!((refused.name, &*refused.why), (name, why));
        }
    }
}
