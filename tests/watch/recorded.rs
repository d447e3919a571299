// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kube-apiserver said: `recorded/`, one file per request.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::Value;

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Recording {
    /// Path and query.
    pub(crate) uri: String,
    pub(crate) code: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Recording {
    pub(crate) fn read(name: &str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("watch/recorded");
        let text = fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?;
        Self::parse(&text).with_context(|| name.to_owned())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // Silence leaves no body.
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let (request, answer) = head.split_once('\n').context("no answer")?;
        let (code, content_type) = parse_head(answer)?;
        Ok(Self {
            uri: request
                .strip_prefix("> GET ")
                .context("no request")?
                .to_owned(),
            code,
            content_type,
            body: body.to_owned(),
        })
    }

    /// The body as one value.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.body)?)
    }

    /// The body as one value a line.
    pub(crate) fn lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.body.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// The objects of a list, each with the kind that lists leave out.
    pub(crate) fn items(&self) -> anyhow::Result<Vec<Value>> {
        let list = self.json()?;
        let kind = list["kind"].as_str().context("no kind")?;
        let kind = kind.strip_suffix("List").context("no list")?;
        let items = list["items"].as_array().context("no items")?;
        let items = items.iter().cloned().map(|mut item| {
            item["kind"] = kind.into();
            item["apiVersion"] = list["apiVersion"].clone();
            item
        });
        Ok(items.collect())
    }
}

/// Status code and content type of an answer's head.
pub(crate) fn parse_head(head: &str) -> anyhow::Result<(u16, String)> {
    let code = head.split(' ').nth(1).context("no status line")?.parse()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map(|(_, value)| value.trim().to_owned());
    Ok((code, content_type.unwrap_or_default()))
}
