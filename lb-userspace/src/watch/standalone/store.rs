// SPDX-License-Identifier: MIT OR Apache-2.0
//! All folders' documents, merged into one object per kind, namespace and name.
//!
//! A later folder's document completes an earlier folder's: fields are merged as by JSON merge
//! patch (RFC 7386), so lists and scalars are replaced, maps are merged, `null` removes. Within
//! one folder the first document in the order of file names wins. Pure: files arrive as parsed
//! text.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::parse::{Document, Key, Parsed};
use crate::watch::status::Problem;

/// A file, ordered as its documents count: by folder (the last one has the last word), then by
/// path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// Index of the folder among those given.
    pub folder: usize,
    /// The path, as problems call it.
    pub path: Arc<str>,
}

/// One object, merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The object as JSON.
    pub value: Value,
    /// Where it is first stated: file and line.
    pub file: Arc<str>,
    /// The line there.
    pub line: u64,
}

/// All documents that are in force.
#[derive(Debug, Default)]
pub struct Store {
    files: BTreeMap<FileId, Parsed>,
    stated_in: BTreeMap<Key, BTreeSet<FileId>>,
}

impl Store {
    /// Takes in a file's new content and returns the objects that it may have changed.
    ///
    /// While a file has a broken document, objects that it stated before and does not state now
    /// stay in force: nobody can tell whether the broken document is one of them.
    pub fn put(&mut self, file: &FileId, mut parsed: Parsed) -> BTreeSet<Key> {
        let before = self.take(file);
        let mut touched: BTreeSet<Key> = keys(&parsed).chain(keys(&before)).collect();
        if !parsed.problems.is_empty() {
            let stated: BTreeSet<Key> = keys(&parsed).collect();
            let before = before.documents.into_iter();
            let kept = before.filter(|document| !stated.contains(&document.key));
            parsed.documents.extend(kept);
        }
        for key in keys(&parsed) {
            self.stated_in.entry(key).or_default().insert(file.clone());
        }
        touched.extend(keys(&parsed));
        self.files.insert(file.clone(), parsed);
        touched
    }

    /// Notes that a file cannot be read; what it stated before stays in force.
    pub fn unreadable(&mut self, file: &FileId, problem: Problem) {
        let parsed = self.files.entry(file.clone()).or_default();
        parsed.problems = vec![problem];
    }

    /// Forgets a file and returns the objects that it stated.
    pub fn remove(&mut self, file: &FileId) -> BTreeSet<Key> {
        keys(&self.take(file)).collect()
    }

    /// The object in its merged form; `None` when no file states it.
    pub fn merged(&self, key: &Key) -> Option<Merged> {
        let mut documents = self.in_force(key);
        let first = documents.next()?;
        let mut merged = Merged {
            value: first.value.clone(),
            file: first.file.clone(),
            line: first.line,
        };
        for document in documents {
            merge(&mut merged.value, &document.value);
        }
        Some(merged)
    }

    /// What is wrong with the files, and every document that another one of its folder hides.
    pub fn problems(&self) -> Vec<Problem> {
        let files = self.files.values();
        let in_files = files.flat_map(|parsed| parsed.problems.iter().chain(&parsed.warnings));
        let mut problems: Vec<Problem> = in_files.cloned().collect();
        for (key, files) in &self.stated_in {
            // Only an object stated twice can be a duplicate, and most are stated once.
            if files.len() > 1 || self.stated(key).count() > 1 {
                problems.extend(self.duplicates(key));
            }
        }
        problems
    }

    fn duplicates(&self, key: &Key) -> Vec<Problem> {
        let mut first_of: BTreeMap<usize, &Document> = BTreeMap::new();
        let mut problems = Vec::new();
        for (folder, document) in self.stated(key) {
            let Some(first) = first_of.get(&folder) else {
                first_of.insert(folder, document);
                continue;
            };
            problems.push(Problem {
                place: document.file.to_string(),
                line: Some(document.line),
                object: Some(key.describe()),
                reason: format!(
                    "stated before, in {}:{}; this one is ignored",
                    first.file, first.line
                ),
            });
        }
        problems
    }

    /// The first document of each folder.
    fn in_force(&self, key: &Key) -> impl Iterator<Item = &Document> {
        let mut last = None;
        let stated = self.stated(key);
        stated.filter_map(move |(folder, document)| {
            let first = last != Some(folder);
            last = Some(folder);
            first.then_some(document)
        })
    }

    /// Every document about an object, with its folder, in order.
    fn stated(&self, key: &Key) -> impl Iterator<Item = (usize, &Document)> {
        let files = self.stated_in.get(key).into_iter().flatten();
        files.flat_map(move |file| {
            let parsed = self.files.get(file).into_iter();
            let documents = parsed.flat_map(|parsed| &parsed.documents);
            let of_key = documents.filter(move |document| document.key == *key);
            of_key.map(|document| (file.folder, document))
        })
    }

    fn take(&mut self, file: &FileId) -> Parsed {
        let parsed = self.files.remove(file).unwrap_or_default();
        for key in keys(&parsed) {
            if let Some(files) = self.stated_in.get_mut(&key) {
                files.remove(file);
                if files.is_empty() {
                    self.stated_in.remove(&key);
                }
            }
        }
        parsed
    }
}

fn keys(parsed: &Parsed) -> impl Iterator<Item = Key> {
    parsed.documents.iter().map(|document| document.key.clone())
}

/// RFC 7386, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
