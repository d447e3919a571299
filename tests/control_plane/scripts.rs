// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every file in `scripts/` is a test.

use std::{fs, path::Path};

use tests::script;

#[test]
fn come_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("control_plane/scripts");
    let entries = fs::read_dir(&folder).expect("the scripts are there");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    let failed: Vec<_> = paths
        .iter()
        .filter_map(|path| (1..=5).find_map(|seed| script::run(path, seed).err()))
        .map(|error| format!("{error:#}\n"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.concat());
}
