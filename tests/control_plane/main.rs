// SPDX-License-Identifier: MIT OR Apache-2.0
//! Manifests in, map contents out: no kernel, no root. The scripts are described in
//! `tests/harness/script.rs`.

use std::{fs, path::Path};

#[test]
fn scripts_come_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("control_plane/scripts");
    let entries = fs::read_dir(&folder).expect("the scripts are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    let failed: Vec<_> = paths
        .iter()
        .filter_map(|path| tests::script::run(path, 1).err())
        .map(|error| format!("{error:#}\n"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.concat());
}
