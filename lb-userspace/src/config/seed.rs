// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cluster's seed: what makes choices of backends the same on all nodes, and unknown to
//! clients.
//!
//! It is read from a file, made once in standalone mode, and never shown anywhere.

use crate::bounded;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// How well the seed is kept from clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedKind {
    /// From a file that only the agent reads.
    Secret,
    /// Something that a client may find out, so it may choose its backend.
    Weak,
}

/// 128 bits. Its `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed {
    /// For `Node::seed`.
    pub words: [u64; 2],
    /// Where it comes from.
    pub kind: SeedKind,
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The seed's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Not readable.
    #[error("reading the seed from {path}: mount or make a file of 16 random bytes there")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Not 16 bytes.
    #[error(
        "{path} holds {length} bytes, and a seed is 16: \
         `head -c 16 /dev/urandom > FILE` makes one; use the same file on all nodes"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// Not writable.
    #[error("making a seed in {path}: give a writable --state-dir, or a --seed-file")]
    Make {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// Of a file that is no seed, so much is looked at.
const MAX_BYTES: u64 = 1024;

impl Seed {
    /// From a file that must be there.
    pub fn read(path: &Path) -> Result<Self, SeedError> {
        let bytes = bounded::read(path, MAX_BYTES).map_err(|cause| SeedError::Read {
            path: path.to_owned(),
            cause,
        })?;
        let Ok(bytes) = <[u8; 16]>::try_from(bytes.as_slice()) else {
            return Err(SeedError::Length {
                path: path.to_owned(),
                length: bytes.len(),
            });
        };
        let number = u128::from_le_bytes(bytes);
        let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(number >> 64).unwrap_or(0);
        Ok(Self {
            words: [low, high],
            kind: SeedKind::Secret,
        })
    }

    /// From the state folder; made there when it is missing, readable by the agent alone.
    pub fn read_or_make(state_dir: &Path) -> Result<Self, SeedError> {
        let path = state_dir.join("seed");
        if !path.exists() {
            make(state_dir, &path).map_err(|cause| SeedError::Make {
                path: path.clone(),
                cause,
            })?;
        }
        Self::read(&path)
    }

    /// What a cluster's nodes agree on without a file: a hash of text that all of them see.
    pub fn weak(text: &str) -> Self {
        let half = |salt: u64| {
            text.bytes().fold(salt, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        };
        let words = if text.is_empty() {
            [0; 2]
        } else {
            [half(0xcbf2_9ce4_8422_2325), half(1)]
        };
        Self {
            words,
            kind: SeedKind::Weak,
        }
    }
}

/// Written beside and then renamed: a crash leaves no half a seed.
fn make(state_dir: &Path, path: &Path) -> io::Result<()> {
    let mut seed = [0; 16];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut seed)?;
    let new = state_dir.join("seed.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&seed)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_seed_is_made_once_and_kept_to_oneself() {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed::read_or_make(folder.path()).unwrap();
        assert_eq!(Seed::read_or_make(folder.path()).unwrap(), seed);
        assert_ne!(seed.words, [0; 2]);
        let mode = fs::metadata(folder.path().join("seed"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{seed:?}"), "Seed { kind: Secret, .. }");
    }

    #[test]
    fn files_that_are_no_seed_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        assert!(matches!(Seed::read(&path), Err(SeedError::Read { .. })));
        for length in [0, 15, 17] {
            fs::write(&path, vec![7; length]).unwrap();
            let error = Seed::read(&path).unwrap_err();
            assert!(matches!(error, SeedError::Length { length: found, .. } if found == length));
        }
        fs::write(&path, [7; 16]).unwrap();
        assert_eq!(Seed::read(&path).unwrap().words, [0x0707_0707_0707_0707; 2]);
    }

    #[test]
    fn weak_seeds_differ_by_text() {
        let [one, other] = ["uid-1", "uid-2"].map(Seed::weak);
        assert_ne!(one.words, other.words);
        assert_eq!(one.kind, SeedKind::Weak);
        assert_eq!(Seed::weak("").words, [0; 2]);
    }
}
