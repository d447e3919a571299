// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removing pins, and nothing else, whatever `--pin-dir` says: only on a BPF file system, only in
//! folders of our names, only what such a folder holds, one level deep, never through a link.

use super::{PinError, failed, is_bpffs};
use std::{fs, io, path::Path};

/// Removes the pins in a folder's `maps`, `progs` and `links`, then these, then the folder.
///
/// What is not ours in there stays, and so do the folders around it: then this is refused with the
/// name of what is in the way. A folder that is not there is fine.
pub(super) fn folder(path: &Path) -> Result<(), PinError> {
    if !is_folder(path) {
        return Ok(());
    }
    if !is_bpffs(path) {
        return Err(PinError::NotPins {
            path: path.display().to_string(),
        });
    }
    for part in ["maps", "progs", "links"] {
        let part = path.join(part);
        if is_folder(&part) {
            for entry in fs::read_dir(&part).map_err(failed("reading", &part))? {
                let pin = entry.map_err(failed("reading", &part))?.path();
                absent_is_fine(fs::remove_file(&pin)).map_err(failed("removing", &pin))?;
            }
            absent_is_fine(fs::remove_dir(&part)).map_err(failed("removing", &part))?;
        }
    }
    absent_is_fine(fs::remove_dir(path)).map_err(failed("removing", path))
}

/// A folder itself: a symbolic link to one leads elsewhere.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.is_dir())
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_folder_is_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        for name in ["v1", "next", "etc"] {
            let precious = home.path().join(name).join("maps/precious");
            fs::create_dir_all(precious.parent().expect("has one")).expect("made");
            fs::write(&precious, "kept").expect("written");
            let refused = folder(&home.path().join(name));
            assert!(
                matches!(refused, Err(PinError::NotPins { .. })),
                "{refused:?}"
            );
            assert_eq!(fs::read_to_string(&precious).expect("still there"), "kept");
        }
    }

    #[test]
    fn what_is_not_there_is_fine() {
        let home = tempfile::tempdir().expect("a folder");
        assert!(folder(&home.path().join("v1")).is_ok());
    }
}
