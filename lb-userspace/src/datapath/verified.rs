// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that an earlier run has pinned and that are the very ones of this binary. The kernel
//! has verified them, which takes most of an agent's start, so they are taken as they are.
//!
//! What says so is a symbolic link beside them, whose target is a digest of the object and the
//! numbers in the kernel of programs and maps, which it never gives to others. So they are not
//! taken where somebody has removed a map's pin: a new map would be written, and the old one read.

use super::{
    load::{LOG, UPLINK, forget, programs},
    maps::MAPS,
    pin::Folder,
};
use aya::{
    EbpfError,
    maps::MapInfo,
    programs::{Program, ProgramError, SchedClassifier, Xdp},
};
use aya_obj::programs::XdpAttachType;
use lb_common::hash::hash;
use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use zerocopy::FromBytes as _;

/// The programs, if all of them are there and this binary's.
pub(super) fn find(object: &[u8], folder: &Folder) -> Option<Vec<(&'static str, Program)>> {
    let said = fs::read_link(mark(folder)).ok()?;
    let found = pinned(folder).ok()?;
    (said == Path::new(&text(object, &found, folder).ok()?)).then_some(found)
}

/// What is pinned in a folder has become this binary's programs.
pub(super) fn note(object: &[u8], folder: &Folder) {
    let noted = pinned(folder).map_err(Into::into);
    let noted = noted.and_then(|programs| text(object, &programs, folder));
    let noted = noted.map_err(io::Error::other).and_then(|text| {
        forget(&mark(folder))?;
        symlink(text, mark(folder))
    });
    if let Err(error) = noted {
        tracing::debug!(%error, "the next start will have the programs verified again");
    }
}

/// The link's name.
const MARK: &str = "object";

fn mark(folder: &Folder) -> PathBuf {
    folder.programs().join(MARK)
}

fn pinned(folder: &Folder) -> Result<Vec<(&'static str, Program)>, ProgramError> {
    let open = |name| {
        let pin = folder.programs().join(name);
        match name {
            UPLINK => Xdp::from_pin(pin, XdpAttachType::Interface).map(Program::Xdp),
            _ => SchedClassifier::from_pin(pin).map(Program::SchedClassifier),
        }
    };
    programs().map(|name| Ok((name, open(name)?))).collect()
}

fn text(
    object: &[u8],
    programs: &[(&'static str, Program)],
    folder: &Folder,
) -> Result<String, EbpfError> {
    let mut text = digest(object);
    for (_, program) in programs {
        text = format!("{text}-{}", program.info()?.id());
    }
    for name in MAPS.iter().map(|(name, _)| *name).chain([LOG]) {
        let map = MapInfo::from_pin(folder.maps().join(name))?;
        text = format!("{text}-{}", map.id());
    }
    Ok(text)
}

/// 128 bits of the object.
fn digest(object: &[u8]) -> String {
    let count = object.len() / size_of::<u64>();
    // The object is aligned for words.
    let split = <[u64]>::ref_from_prefix_with_elems(object, count);
    let (words, rest) = split.unwrap_or((&[], object));
    let tail = rest
        .iter()
        .fold(1, |tail, byte| tail << 8 | u64::from(*byte));
    let half = |half| {
        let body = hash([half, 0], words);
        hash([half, 1], &[body, tail])
    };
    format!("{:016x}{:016x}", half(0), half(1))
}
