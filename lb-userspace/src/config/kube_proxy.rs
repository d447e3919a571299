// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy's configuration file, `KubeProxyConfiguration` v1alpha1: what of it counts here.
//!
//! Pure, but for reading the file. What cannot be used is never silent: each field in a file has a
//! fate, which `weiche import-config` shows and the agent logs.

mod settings;
mod read;

pub use settings::{Fate, IGNORED_FLAGS, IgnoredFlag};

use super::Given;
use crate::{
    bounded,
    yaml::{BadYaml, Tree},
};
use serde::Serialize;
use settings::SETTINGS;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A file that was read.
#[derive(Debug)]
pub struct File {
    tree: Tree,
    path: PathBuf,
}

/// What becomes of a field in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name, with dots.
    pub field: String,
    /// Its value in the file, as JSON.
    pub value: String,
    /// Where it is.
    pub line: u64,
    /// What becomes of it.
    pub fate: Fate,
    /// Why, or what it means here; empty where it means the same.
    pub note: &'static str,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// Not readable.
    #[error("reading the kube-proxy configuration {path}; give a file that can be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Not YAML.
    #[error("{path} is not YAML")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        cause: BadYaml,
    },
    /// Something else.
    #[error(
        "{path} is no KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1 but {found}: give \
         the file that kube-proxy's --config names; in a ConfigMap, it is what config.conf holds"
    )]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// A value that cannot be meant.
    #[error("{path}:{line}: {field}: {said}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// The field.
        field: &'static str,
        /// What would do.
        said: String,
    },
}

/// A settings file may be this long.
const MAX_BYTES: u64 = 1024 * 1024;

impl File {
    /// Reads a file, or a pipe to its end.
    pub fn read(path: &Path) -> Result<Self, BadFile> {
        let text = bounded::read_text(path, MAX_BYTES).map_err(|cause| BadFile::Read {
            path: path.to_owned(),
            cause,
        })?;
        Self::parse(path, &text)
    }

    /// Reads a file's text; the path is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BadFile> {
        let path = path.to_owned();
        let tree = match crate::yaml::parse(text) {
            Ok(tree) => tree,
            Err(cause) => return Err(BadFile::Syntax { path, cause }),
        };
        let word = |key| tree.get(key).and_then(Tree::text);
        let found = match (word("kind"), word("apiVersion")) {
            (Some("KubeProxyConfiguration"), Some("kubeproxy.config.k8s.io/v1alpha1")) => {
                return Ok(Self { tree, path });
            }
            (Some(kind), Some(version)) => format!("{kind} of {version}"),
            (None, _) | (_, None) => "something without kind or apiVersion".to_owned(),
        };
        Err(BadFile::Kind { path, found })
    }

    /// Every field that the file sets, in the order of its lines, and what becomes of it.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        collect(&self.tree, "", &mut fields);
        fields.sort_by_key(|field| field.line);
        fields
    }

    /// One sentence about all that does not count as it stands; none where everything does.
    pub fn warning(&self) -> Option<String> {
        let fields = self.fields();
        let of = |fate| {
            let fields = fields.iter().filter(move |field| field.fate == fate);
            let named = fields.map(|field| format!("{} (line {})", field.field, field.line));
            named.collect::<Vec<_>>().join(", ")
        };
        let parts = [
            ("ignored", of(Fate::Ignored)),
            ("unknown", of(Fate::Unknown)),
        ];
        let parts = parts.into_iter().filter(|(_, fields)| !fields.is_empty());
        let parts: Vec<_> = parts
            .map(|(fate, fields)| format!("{fate}: {fields}"))
            .collect();
        let path = self.path.display();
        (!parts.is_empty()).then(|| {
            let parts = parts.join("; ");
            format!("of {path}, {parts}; `weiche import-config {path}` says why")
        })
    }

    /// Sets what the file says, in place of what flags have said: with `--config`, kube-proxy
    /// ignores its flags for all that a file can say (`Options.Complete`).
    pub fn apply(&self, given: &mut Given) -> Result<(), BadFile> {
        for setting in SETTINGS {
            let Some(set) = setting.set else { continue };
            let Some(tree) = find(&self.tree, setting.field) else {
                continue;
            };
            set(given, tree).map_err(|said| BadFile::Value {
                path: self.path.clone(),
                line: tree.line,
                field: setting.field,
                said,
            })?;
        }
        Ok(())
    }
}

fn find<'a>(tree: &'a Tree, field: &str) -> Option<&'a Tree> {
    let found = field.split('.').try_fold(tree, |tree, key| tree.get(key))?;
    (!found.is_null()).then_some(found)
}

fn collect(tree: &Tree, field: &str, fields: &mut Vec<Field>) {
    for (key, child) in tree.children() {
        let name = if field.is_empty() {
            key.clone()
        } else {
            format!("{field}.{key}")
        };
        if matches!(name.as_str(), "apiVersion" | "kind") || child.is_null() {
            continue;
        }
        let known = SETTINGS.iter().find(|setting| setting.is_about(&name));
        let is_group = SETTINGS.iter().any(|setting| setting.is_below(&name));
        match known {
            None if is_group && child.children().next().is_some() => collect(child, &name, fields),
            // An empty group says nothing.
            None if is_group => {}
            known => fields.push(Field {
                field: name,
                value: child.value().to_string(),
                line: child.line,
                fate: known.map_or(Fate::Unknown, |setting| setting.fate),
                note: known.map_or("no such field; is it written correctly?", |it| it.note),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
