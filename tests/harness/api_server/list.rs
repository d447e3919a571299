// SPDX-License-Identifier: MIT OR Apache-2.0
//! LIST: the answer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    ask::Ask,
    objects::{Objects, Resource},
    refusal::Refusal,
    selector::fits,
};

/// One page of a consistent list: further pages show the version of the first.
///
/// The server shows no more than `most` objects on it.
pub(super) fn answer(
    objects: &Objects,
    resource: Resource,
    namespace: Option<&str>,
    ask: &Ask,
    most: Option<usize>,
) -> Result<Value, Refusal> {
    let (version, start) = match ask.token() {
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
        .filter(|object| fits(ask.selector(), object))
        .filter(|object| namespace.is_none_or(|it| object["metadata"]["namespace"] == *it));
    let fitting: Vec<Arc<Value>> = fitting.skip(start).collect();
    // Without a limit, a client does not ask for further pages.
    let page = match ask.limit.filter(|limit| *limit > 0) {
        Some(limit) => limit.min(most.unwrap_or(limit)).min(fitting.len()),
        None => fitting.len(),
    };
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
    let now = objects.version();
    match ask.version()? {
        Some(asked) if asked > now => Err(Refusal::too_large(asked, now)),
        Some(asked) if ask.exact() => Ok(asked),
        // Not older than asked for: the newest never is.
        _ => Ok(now),
    }
}

fn read_token(token: &str) -> Result<(u64, usize), Refusal> {
    let parts = token.split_once('.');
    let read =
        parts.and_then(|(version, start)| Some((version.parse().ok()?, start.parse().ok()?)));
    read.ok_or_else(|| {
        Refusal::bad_request("invalid continue token: continue key is not valid".to_owned())
    })
}
