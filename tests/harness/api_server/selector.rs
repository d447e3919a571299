// SPDX-License-Identifier: MIT OR Apache-2.0
//! Label selectors: `a`, `!a`, `a=b`, `a==b`, `a!=b`, joined by commas.

use serde_json::Value;

/// Whether an object's labels fit; an empty selector fits everything.
pub(super) fn fits(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    let parts = selector
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.into_iter().all(|part| {
        if let Some((label, value)) = part.split_once("!=") {
            return labels[label] != *value;
        }
        if let Some((label, value)) = part.split_once('=') {
            return labels[label] == *value.trim_start_matches('=');
        }
        match part.strip_prefix('!') {
            Some(label) => labels[label].is_null(),
            None => !labels[part].is_null(),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_fit_as_the_api_says() {
        let object = json!({"metadata": {"labels": {"a": "1", "b/c": ""}}});
        for (selector, fit) in [
            ("", true),
            ("a", true),
            ("x", false),
            ("!x", true),
            ("!a", false),
            ("a=1", true),
            ("a==1", true),
            ("a=2", false),
            ("a!=2,b/c", true),
            ("x!=1", true),
            ("a!=1", false),
            ("b/c=", true),
            (
                "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name",
                true,
            ),
        ] {
            assert_eq!(fits(selector, &object), fit, "{selector}");
        }
    }
}
