// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of one manifest file → its objects, and what is wrong with it, line by line.
//!
//! Pure. A broken document costs only itself: documents are cut apart before any of them is
//! parsed. This module knows no folders, no other files and no earlier versions.

mod fields;
mod kind;

pub use kind::ManifestKind;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Error as PathError;

use self::fields::Unknown;
use crate::{
    model::Name,
    watch::status::Problem,
    yaml::{self, Shape, Tree},
};

/// What makes two documents speak of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The kind.
    pub kind: ManifestKind,
    /// The name; the namespace is empty for Nodes and Namespaces.
    pub name: Name,
}

impl Key {
    /// As people say it: `Service default/web`, `Node a`.
    pub fn describe(&self) -> String {
        let Self { kind, name } = self;
        if kind.is_namespaced() {
            format!("{kind:?} {name}")
        } else {
            format!("{kind:?} {}", name.name)
        }
    }
}

/// One object as one file states it, valid by itself; another folder may complete it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Which object.
    pub key: Key,
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line where it begins, from 1.
    pub line: u64,
    /// The object as JSON.
    pub value: Value,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The valid documents, in the file's order.
    pub documents: Vec<Document>,
    /// Why others are not among them.
    pub problems: Vec<Problem>,
    /// What does nothing here: fields that Kubernetes does not know, and objects that are not read.
    pub warnings: Vec<Problem>,
}

/// Reads one file's text; `file` is what problems call it.
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut reader = Reader {
        file: file.into(),
        first_line: 1,
        parsed: Parsed::default(),
    };
    for (first_line, text) in split(text) {
        reader.first_line = first_line;
        reader.read(text);
    }
    reader.parsed
}

/// Reads an object of a kind that the caller knows.
pub(super) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, PathError<serde_json::Error>> {
    serde_path_to_error::deserialize(value)
}

struct Reader {
    file: Arc<str>,
    /// Where the document at hand begins in the file, from 1.
    first_line: u64,
    parsed: Parsed,
}

impl Reader {
    fn read(&mut self, text: &str) {
        match yaml::parse(text) {
            Ok(tree) => self.object(&tree, None),
            Err(error) => self.problem(error.line, None, error.reason),
        }
    }

    /// Takes in an object, or each item of a list; items of a typed list need not say their kind.
    fn object(&mut self, tree: &Tree, assumed: Option<(&str, &str)>) {
        match &tree.shape {
            Shape::Leaf(Value::Null) => return,
            Shape::Leaf(_) | Shape::List(_) => {
                return self.problem(tree.line, None, "this is no Kubernetes object".to_owned());
            }
            Shape::Map(_) => {}
        }
        let (assumed_version, assumed_kind) = assumed.unzip();
        let text = |key: &str| tree.get(key).and_then(Tree::text);
        let (Some(api_version), Some(kind)) = (
            text("apiVersion").or(assumed_version),
            text("kind").or(assumed_kind),
        ) else {
            let reason = "apiVersion or kind is missing".to_owned();
            return self.problem(tree.line, None, reason);
        };
        if let (Some(items), Some(item_kind)) = (tree.get("items"), kind.strip_suffix("List")) {
            let assumed = (!item_kind.is_empty()).then_some((api_version, item_kind));
            return self.items(items, assumed);
        }
        if let Some(kind) = ManifestKind::of(api_version, kind) {
            return self.document(tree, kind);
        }
        let line = self.line_in_file(tree.line);
        if let Some(reason) = kind::unread(api_version, kind) {
            let name = tree.get("metadata").and_then(|it| it.get("name")?.text());
            self.parsed.warnings.push(Problem {
                place: self.file.to_string(),
                line: Some(line),
                object: name.map(|name| format!("{kind} {name}")),
                reason,
            });
        } else {
            tracing::debug!(file = %self.file, line, api_version, kind, "ignored: other kind");
        }
    }

    fn items(&mut self, items: &Tree, assumed: Option<(&str, &str)>) {
        match &items.shape {
            Shape::List(list) => list.iter().for_each(|item| self.object(item, assumed)),
            Shape::Leaf(Value::Null) => {}
            Shape::Leaf(_) | Shape::Map(_) => {
                self.problem(items.line, None, "items is no list".to_owned());
            }
        }
    }

    fn document(&mut self, tree: &Tree, kind: ManifestKind) {
        let metadata = tree.get("metadata");
        let text = |key: &str| metadata.and_then(|metadata| metadata.get(key)?.text());
        let Some(name) = text("name").filter(|name| !name.is_empty()) else {
            let line = metadata.map_or(tree.line, |metadata| metadata.line);
            let reason = format!("this {kind:?} has no metadata.name");
            return self.problem(line, None, reason);
        };
        let namespace = if kind.is_namespaced() {
            text("namespace").unwrap_or("default")
        } else {
            ""
        };
        if let Some(bad) = [namespace, name].into_iter().find(|part| !is_name(part)) {
            let line = metadata.map_or(tree.line, |metadata| metadata.line);
            let reason = format!(
                "{bad:?} is no name of a {kind:?} (RFC 1123): use lower-case letters, digits, `-` \
                 and `.`, with a letter or digit at both ends, at most 253"
            );
            return self.problem(line, None, reason);
        }
        let key = Key {
            kind,
            name: Name::new(namespace, name),
        };
        match kind.check(tree) {
            Ok(unknown) => self.warn(&key, unknown),
            Err(error) => {
                let line = tree.line_of(error.path());
                let reason = format!("{}: {}", error.path(), error.inner());
                return self.problem(line, Some(key.describe()), reason);
            }
        }
        self.parsed.documents.push(Document {
            key,
            file: self.file.clone(),
            line: self.line_in_file(tree.line),
            value: tree.value(),
        });
    }

    fn warn(&mut self, key: &Key, unknown: Vec<Unknown>) {
        for Unknown {
            line,
            path,
            nearest,
        } in unknown
        {
            let meant = nearest.map_or_else(String::new, |it| format!("; did you mean {it}?"));
            self.parsed.warnings.push(Problem {
                place: self.file.to_string(),
                line: Some(self.line_in_file(line)),
                object: Some(key.describe()),
                reason: format!("unknown field {path} does nothing{meant}"),
            });
        }
    }

    fn problem(&mut self, line: u64, object: Option<String>, reason: String) {
        let line = self.line_in_file(line);
        self.parsed.problems.push(Problem {
            place: self.file.to_string(),
            line: Some(line),
            object,
            reason,
        });
    }

    fn line_in_file(&self, line: u64) -> u64 {
        // A parser that knows no place says line 0.
        self.first_line + line.max(1) - 1
    }
}

/// Cuts a stream into documents, each with its first line.
///
/// YAML forbids `---` at the beginning of a line inside any scalar (YAML 1.2.2, rule
/// `c-forbidden`), so lines are enough to see where documents begin.
fn split(text: &str) -> Vec<(u64, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if is_separator(line) && at > start {
            documents.push((first_line, &text[start..at]));
            (start, first_line) = (at, number);
        }
        at += line.len();
    }
    documents.push((first_line, &text[start..]));
    documents.retain(|(_, text)| !is_blank(text));
    documents
}

fn is_separator(line: &str) -> bool {
    let rest = line.strip_prefix("---");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Only comments, directives and empty lines.
fn is_blank(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line == "---" || line.starts_with(['#', '%']))
}

/// What an API server takes as a name or a namespace; the namespace of a Node is empty.
fn is_name(text: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(within)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.is_empty() || (text.len() <= 253 && text.split('.').all(is_label))
}

#[cfg(test)]
mod tests;
