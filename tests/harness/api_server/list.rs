// SPDX-License-Identifier: MIT OR Apache-2.0
//! LIST: what a client may ask for, and the answer.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    objects::{Objects, Resource},
    refusal::Refusal,
    selector::fits,
};

/// The query of a list or a watch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ask {
    watch: Option<String>,
    limit: Option<usize>,
    #[serde(rename = "continue")]
    token: Option<String>,
    resource_version: Option<String>,
    resource_version_match: Option<String>,
    label_selector: Option<String>,
    pub(super) timeout_seconds: Option<u64>,
    allow_watch_bookmarks: Option<bool>,
    send_initial_events: Option<bool>,
}

impl Ask {
    pub(super) fn is_watch(&self) -> bool {
        matches!(self.watch.as_deref(), Some("1" | "true"))
    }

    pub(super) fn selector(&self) -> &str {
        self.label_selector.as_deref().unwrap_or_default()
    }

    pub(super) fn bookmarks(&self) -> bool {
        self.allow_watch_bookmarks == Some(true)
    }

    pub(super) fn initial_events(&self) -> bool {
        self.send_initial_events == Some(true)
    }

    /// The version asked for; `None` for "any" and "the newest".
    pub(super) fn version(&self) -> Result<Option<u64>, Refusal> {
        match self.resource_version.as_deref() {
            None | Some("" | "0") => Ok(None),
            Some(text) => match text.parse() {
                Ok(version) => Ok(Some(version)),
                Err(error) => Err(Refusal::bad_request(format!(
                    "Invalid value: {text:?}: {error}"
                ))),
            },
        }
    }
}

/// One page of a consistent list: further pages show the version of the first.
pub(super) fn answer(objects: &Objects, resource: Resource, ask: &Ask) -> Result<Value, Refusal> {
    let (version, start) = match ask.token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => read_token(token)?,
        None => (first_version(objects, ask)?, 0),
    };
    let listed = objects.at(version, resource).ok_or_else(|| {
        Refusal::expired(if start > 0 {
            "The provided continue parameter is too old to display a consistent list result."
        } else {
            "The resourceVersion for the provided list is too old."
        })
    })?;
    let fitting = listed
        .into_iter()
        .filter(|object| fits(ask.selector(), object));
    let fitting: Vec<Arc<Value>> = fitting.skip(start).collect();
    let page = ask
        .limit
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX)
        .min(fitting.len());
    let mut metadata = json!({"resourceVersion": version.to_string()});
    let remaining = fitting.len() - page;
    if remaining > 0 {
        metadata["continue"] = format!("{version}.{}", start + page).into();
        // With a selector, the server would have to look at the rest to count it.
        if ask.selector().is_empty() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    Ok(json!({
        "kind": format!("{}List", resource.kind()),
        "apiVersion": resource.api_version(),
        "metadata": metadata,
        "items": fitting[..page].iter().map(|object| Value::clone(object)).collect::<Vec<_>>(),
    }))
}

fn first_version(objects: &Objects, ask: &Ask) -> Result<u64, Refusal> {
    let exact = ask.resource_version_match.as_deref() == Some("Exact");
    Ok(match ask.version()? {
        Some(version) if exact => version,
        // Not older than asked for: the newest never is.
        _ => objects.version(),
    })
}

fn read_token(token: &str) -> Result<(u64, usize), Refusal> {
    let parts = token.split_once('.');
    let read =
        parts.and_then(|(version, start)| Some((version.parse().ok()?, start.parse().ok()?)));
    read.ok_or_else(|| {
        Refusal::bad_request("invalid continue token: continue key is not valid".to_owned())
    })
}
