// SPDX-License-Identifier: MIT OR Apache-2.0
//! One agent per folder of pins.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Held as long as it lives; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error(
        "another weiche ({holder}) works with {path}: stop it first; a second agent on one node \
         needs a --pin-dir and a --state-dir of its own"
    )]
    Held {
        /// `pid N`, or that it cannot be told.
        holder: String,
        /// What is locked.
        path: String,
    },
    /// The kernel refused.
    #[error("locking {path}")]
    Refused {
        /// What was to be locked.
        path: String,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// Locks a file or folder, without waiting.
pub fn take(path: &Path) -> Result<Lock, LockError> {
    let name = || path.display().to_string();
    let refused = |cause| LockError::Refused {
        path: name(),
        cause,
    };
    let file = File::open(path).map_err(refused)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let inode = file.metadata().map_err(refused)?.ino();
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            let holder = match holder(&locks, inode) {
                Some(pid) => format!("pid {pid}"),
                None => "in another container".to_owned(),
            };
            Err(LockError::Held {
                holder,
                path: name(),
            })
        }
        Err(error) => Err(refused(error.into())),
    }
}

/// Who holds a lock on an inode, from the text of `/proc/locks`:
/// `1: FLOCK  ADVISORY  WRITE 1234 00:1b:5678 0 EOF`.
fn holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let kind = fields.next()?;
        let pid = fields.nth(2)?.parse().ok()?;
        let (_, found) = fields.next()?.rsplit_once(':')?;
        (kind == "FLOCK" && found.parse() == Ok(inode)).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = take(folder.path()).unwrap();
        let error = take(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        take(folder.path()).unwrap();
    }

    #[test]
    fn the_holder_is_found_in_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1b:55 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 00:1b:56 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 9 00:1b:56 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 10 00:1b:55 0 EOF\n";
        assert_eq!(holder(locks, 55), Some(10));
        assert_eq!(holder(locks, 56), Some(8));
        assert_eq!(holder(locks, 57), None);
    }
}
