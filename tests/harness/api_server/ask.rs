// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client may ask for.

use serde::Deserialize;

use super::refusal::Refusal;

/// The query of a list or a watch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ask {
    watch: Option<String>,
    pub(super) limit: Option<usize>,
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

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|token| !token.is_empty())
    }

    pub(super) fn exact(&self) -> bool {
        self.resource_version_match.as_deref() == Some("Exact")
    }

    /// Whether its parts go together.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let version = self.resource_version.as_deref().unwrap_or_default();
        let rule = self.resource_version_match.as_deref();
        let refused = match (self.is_watch(), rule) {
            (true, Some(_)) if !self.initial_events() => {
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch \
                 unless sendInitialEvents is provided"
            }
            (true, rule) if self.initial_events() && rule != Some("NotOlderThan") => {
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting \
                 resourceVersionMatch to NotOlderThan"
            }
            (false, _) if self.send_initial_events.is_some() => {
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
            }
            (false, Some(_)) if version.is_empty() => {
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
                 resourceVersion is provided"
            }
            (false, Some("Exact")) if version == "0" => {
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden \
                 for resourceVersion \"0\""
            }
            (_, Some(rule)) if !["Exact", "NotOlderThan"].contains(&rule) => {
                "resourceVersionMatch: Unsupported value"
            }
            _ => return Ok(()),
        };
        Err(Refusal::invalid(refused))
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
