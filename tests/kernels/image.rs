// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's file system: an archive that the kernel unpacks into memory.
//!
//! Its form is that of `cpio -H newc` (kernel, `Documentation/driver-api/early-userspace/
//! buffer-format.rst`).

use anyhow::{Context as _, ensure};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// An archive that grows.
#[derive(Default)]
pub(crate) struct Image {
    bytes: Vec<u8>,
    folders: BTreeSet<PathBuf>,
    libraries: BTreeSet<PathBuf>,
}

impl Image {
    /// Puts bytes at a path.
    pub(crate) fn add(&mut self, path: impl AsRef<Path>, content: &[u8]) {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            self.add_folder(folder);
        }
        self.entry(path, FILE, content);
    }

    /// Makes a folder, and those above it.
    pub(crate) fn add_folder(&mut self, folder: impl AsRef<Path>) {
        let mut above: Vec<_> = folder.as_ref().ancestors().map(Path::to_path_buf).collect();
        above.reverse();
        for folder in above {
            if folder.parent().is_some() && self.folders.insert(folder.clone()) {
                self.entry(&folder, FOLDER, &[]);
            }
        }
    }

    /// Puts a program of the host into `/bin`, with the libraries that it is linked to.
    pub(crate) fn add_program(&mut self, name: &str, program: &Path) -> anyhow::Result<()> {
        for library in libraries(program)? {
            if self.libraries.insert(library.clone()) {
                let content = fs::read(&library);
                self.add(
                    &library,
                    &content.with_context(|| format!("{}", library.display()))?,
                );
            }
        }
        let content = stripped(program)?;
        self.add(Path::new("/bin").join(name), &content);
        Ok(())
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.to_string_lossy();
        let name = name.trim_start_matches('/');
        let number = self.folders.len() + self.bytes.len();
        let fields = [
            number,
            0,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        self.bytes.extend(b"070701");
        for (position, field) in fields.into_iter().enumerate() {
            let field = if position == 1 {
                format!("{mode:08x}")
            } else {
                format!("{field:08x}")
            };
            self.bytes.extend(field.bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// What the dynamic linker would load, and the linker itself.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot start `ldd`")?;
    let said = String::from_utf8_lossy(&output.stdout);
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let paths = said
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    Ok(paths.collect())
}

/// The program without what only debuggers read: that is most of it.
fn stripped(program: &Path) -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("program");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&file)
        .arg(program)
        .status();
    ensure!(
        status
            .context("cannot start `strip` (package binutils)")?
            .success(),
        "cannot strip {}",
        program.display()
    );
    Ok(fs::read(file)?)
}
