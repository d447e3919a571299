// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the BPF object, which the program embeds: `$OUT_DIR/weiche-bpf`.
//!
//! Why here: so that plain `cargo build` is enough, and the object always fits the program around
//! it. No object is committed, and none is looked for in `target/`.
//!
//! What is imperfect about it: BPF programs need `core` built for their target, which stable cargo
//! does not do. `RUSTC_BOOTSTRAP=1` unlocks `-Z build-std=core` in the one nested cargo that
//! builds `lb-ebpf`; everything else is built by the stable compiler as it is. The same toolchain
//! builds both, so its LLVM is the one that `bpf-linker` was made for (`cargo xtask setup`).
//!
//! `AYA_BUILD_SKIP=1` leaves the object empty: for quick `cargo check` where no linker is.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let object = out.join("weiche-bpf");
    if !object.exists() {
        // Replaced below, unless the build is skipped: `include_bytes!` needs a file.
        fs::write(&object, [])?;
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").context(
        "RUSTUP_TOOLCHAIN is not set: build through rustup's cargo, or by `cargo xtask build`",
    )?;
    let programs = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets it")?)
        .join("../lb-ebpf");
    // SAFETY: a build script's main has started no thread that could read the environment.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    // Cargo would show each line of the nested cargo's progress as a warning, at every build.
    // SAFETY: as above.
    unsafe { env::set_var("CARGO_TERM_QUIET", "true") };
    build_ebpf(
        [Package {
            name: "lb-ebpf",
            root_dir: programs
                .to_str()
                .context("the checkout's path is not UTF-8")?,
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )
    .context("building the BPF programs failed; `cargo xtask setup` installs what it needs")?;
    let whole = fs::read(&object)?;
    let stripped = strip(&whole).context("the BPF object is not the ELF file that it should be")?;
    fs::write(&object, stripped).context("writing the BPF object")
}

/// Bytes of a section's header in a 64-bit ELF file, and where in it name, offset, size and
/// alignment are.
const HEADER: usize = 64;
const NAME: usize = 0;
const OFFSET: usize = 24;
const SIZE: usize = 32;
const ALIGN: usize = 48;

/// The object without what only debuggers read: four fifths of it, which each agent would read, and
/// keep in memory, to know whether its programs are the pinned ones. The linker needs it to make
/// BTF, so the compiler cannot leave it out.
///
/// Sections keep their numbers, by which symbols and relocations name them; those that go are left
/// empty. None: it cannot be read.
fn strip(object: &[u8]) -> Option<Vec<u8>> {
    // A skipped build, or one for processors that write numbers the other way round.
    let is_little = object.get(5) == Some(&1);
    if !is_little {
        return Some(object.to_vec());
    }
    let count = usize::from(u16::from_le_bytes(bytes(object, 60)?));
    let names = usize::from(u16::from_le_bytes(bytes(object, 62)?));
    let first = word(object, 40)?;
    let header = |number: usize| object.get(first + number * HEADER..)?.get(..HEADER);
    let names = object.get(word(header(names)?, OFFSET)?..)?;
    let mut stripped = object.get(..HEADER)?.to_vec();
    let mut headers = Vec::new();
    for number in 0..count {
        let mut header = header(number)?.to_vec();
        let name = names.get(usize::try_from(u32::from_le_bytes(bytes(&header, NAME)?)).ok()?..)?;
        let goes = [&b".debug_"[..], b".rel.debug_"]
            .iter()
            .any(|it| name.starts_with(it));
        let size = if goes { 0 } else { word(&header, SIZE)? };
        let contents = object.get(word(&header, OFFSET)?..)?.get(..size)?;
        let aligned = stripped
            .len()
            .next_multiple_of(word(&header, ALIGN)?.max(1));
        stripped.resize(aligned, 0);
        header[OFFSET..][..8].copy_from_slice(&u64::try_from(aligned).ok()?.to_le_bytes());
        header[SIZE..][..8].copy_from_slice(&u64::try_from(size).ok()?.to_le_bytes());
        stripped.extend(contents);
        headers.extend(header);
    }
    stripped.resize(stripped.len().next_multiple_of(8), 0);
    let first = u64::try_from(stripped.len()).ok()?;
    stripped[40..][..8].copy_from_slice(&first.to_le_bytes());
    stripped.extend(headers);
    Some(stripped)
}

fn word(from: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes(from, at)?)).ok()
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}
