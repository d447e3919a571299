// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of the repository, read once for all rules.

use super::code;
use crate::{process, workspace};
use anyhow::Context as _;
use std::{path::Path, process::Command};

/// All text files, ordered by path.
pub(super) struct Tree {
    files: Vec<File>,
}

/// One file.
pub(super) struct File {
    /// From the root of the workspace.
    pub(super) path: String,
    pub(super) text: String,
    /// Rust only: the text with comments, strings and characters blanked, line by line as long.
    pub(super) code: String,
}

impl Tree {
    /// What git knows or would add.
    pub(super) fn read() -> anyhow::Result<Self> {
        let mut git = Command::new("git");
        git.args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ]);
        let names = process::output(git.current_dir(workspace::root()))?;
        let mut files = Vec::new();
        for name in names.lines() {
            let path = workspace::root().join(name);
            // Links and files that are being removed have no text of their own.
            if !path.symlink_metadata().is_ok_and(|file| file.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File::new(name, text));
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File::new(path, (*text).to_owned()));
        Self {
            files: files.collect(),
        }
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// Those that end so (`.rs`, `.md`).
    pub(super) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or a folder of that path is there.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.iter().any(|file| {
            let rest = file.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let is_rust = Path::new(path).extension().is_some_and(|end| end == "rs");
        let code = if is_rust {
            code::blank(&text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text,
            code,
        }
    }

    /// The code above the file's own tests, line by line, counted from 1.
    pub(super) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = (1..).zip(self.code.lines());
        lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]")
    }
}
