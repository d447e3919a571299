// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loading the embedded BPF object against the maps of one folder of pins.

use super::{
    further,
    maps::{MAPS, Sizes, Sizing},
    pin::{Folder, Hook},
    verified, verifier,
};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{Program, ProgramError, SchedClassifier, Xdp},
};
use std::{fs, io, path::Path};

/// The program that the agent runs itself, to start the sweep.
pub(super) const SWEEP: &str = "weiche_sweep";

/// The program for uplinks, before the host's stack.
pub(super) const UPLINK: &str = "weiche_uplink";

/// What programs report through; no map of theirs that a start must find.
pub(super) const LOG: &str = "AYA_LOGS";

/// The programs cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Built with `AYA_BUILD_SKIP`.
    #[error("this binary was built without its BPF programs (AYA_BUILD_SKIP was set): build anew")]
    Empty,
    /// The object or one of its maps was refused.
    #[error("loading the BPF object: {advice}")]
    Object {
        /// What to do.
        advice: String,
        /// What aya or the kernel said.
        #[source]
        cause: Box<EbpfError>,
    },
    /// The object lacks a program.
    #[error("the BPF object has no program {name}: build anew")]
    NoProgram {
        /// Its name.
        name: &'static str,
    },
    /// The verifier refused a program.
    #[error("the kernel's verifier refused program {name}: {reason}\n{log}; please report it")]
    Refused {
        /// The program.
        name: &'static str,
        /// The verifier's last word.
        reason: String,
        /// Where the log is.
        log: String,
    },
    /// The kernel refused a program without a log.
    #[error("loading program {name}")]
    Program {
        /// The program.
        name: &'static str,
        /// What aya or the kernel said.
        #[source]
        cause: Box<ProgramError>,
    },
    /// A program cannot be pinned.
    #[error("pinning program {name} below --pin-dir")]
    Pin {
        /// The program.
        name: &'static str,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// Loads all programs against the maps of a folder: pinned ones are used, missing ones made. So are
/// programs that are pinned there and are the same.
pub(super) fn load(
    object: &[u8],
    folder: &Folder,
    sizes: &Sizes,
    state_dir: &Path,
) -> Result<Ebpf, LoadError> {
    if object.is_empty() {
        return Err(LoadError::Empty);
    }
    let verified = verified::find(object, folder);
    if verified.is_none() {
        // Others' programs go on with theirs, which may be of another size.
        forget(&folder.maps().join(LOG)).map_err(|cause| LoadError::Pin { name: LOG, cause })?;
    }
    let mut loader = EbpfLoader::new();
    loader.map_pin_path(LOG, folder.maps().join(LOG));
    for (name, sizing) in MAPS {
        loader.map_pin_path(name, folder.maps().join(name));
        if let Some(entries) = sizes.of(sizing) {
            loader.map_max_entries(name, entries);
        }
    }
    let mut ebpf = loader.load(object).map_err(|cause| LoadError::Object {
        advice: advice(&cause),
        cause: Box::new(cause),
    })?;
    if let Some(verified) = verified {
        for (name, program) in verified {
            let place = ebpf.program_mut(name);
            *place.ok_or(LoadError::NoProgram { name })? = program;
        }
        further::fill(&mut ebpf)?;
        return Ok(ebpf);
    }
    for name in programs() {
        let verified = match program(&mut ebpf, name)? {
            Program::Xdp(program) => program.load(),
            _ => classifier(&mut ebpf, name)?.load(),
        };
        verified.map_err(|cause| refusal(name, cause, state_dir))?;
    }
    further::fill(&mut ebpf)?;
    Ok(ebpf)
}

/// Pins the programs in a folder, in place of what is there.
pub(super) fn pin_programs(
    object: &[u8],
    ebpf: &mut Ebpf,
    folder: &Folder,
) -> Result<(), LoadError> {
    if verified::find(object, folder).is_some() {
        return Ok(());
    }
    for name in programs() {
        let program = program(ebpf, name)?;
        let failed = |cause| LoadError::Pin { name, cause };
        let (pin, new) = (folder.programs().join(name), folder.programs().join("new"));
        forget(&new).map_err(failed)?;
        program
            .pin(&new)
            .map_err(|error| failed(io::Error::other(error)))?;
        fs::rename(&new, &pin).map_err(failed)?;
    }
    verified::note(object, folder);
    Ok(())
}

/// Removes a pin that may be there.
pub(super) fn forget(pin: &Path) -> io::Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A program of the object by its name.
fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Program, LoadError> {
    let program = ebpf.program_mut(name);
    program.ok_or(LoadError::NoProgram { name })
}

/// The same for one of TC.
pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, LoadError> {
    program(ebpf, name)?.try_into().map_err(other_kind(name))
}

/// The program for uplinks.
pub(super) fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, LoadError> {
    program(ebpf, UPLINK)?
        .try_into()
        .map_err(other_kind(UPLINK))
}

fn other_kind(name: &'static str) -> impl Fn(ProgramError) -> LoadError {
    move |cause| LoadError::Program {
        name,
        cause: Box::new(cause),
    }
}

/// Every program that is loaded.
pub(super) fn programs() -> impl Iterator<Item = &'static str> {
    Hook::ALL
        .into_iter()
        .map(Hook::program)
        .chain(further::PROGRAMS)
        .chain([SWEEP, UPLINK])
}

fn refusal(name: &'static str, error: ProgramError, state_dir: &Path) -> LoadError {
    match error {
        ProgramError::LoadError { verifier_log, .. } if !verifier_log.to_string().is_empty() => {
            let log = verifier_log.to_string();
            LoadError::Refused {
                name,
                reason: verifier::reason(&log).to_owned(),
                log: verifier::keep(&log, state_dir, name),
            }
        }
        other => LoadError::Program {
            name,
            cause: Box::new(other),
        },
    }
}

/// What to do about an object that was refused.
fn advice(error: &EbpfError) -> String {
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error, .. }) => {
            let flag = flag(name);
            if io_error.kind() == io::ErrorKind::OutOfMemory {
                format!("there is no memory for map {name}; choose a smaller {flag}")
            } else {
                format!("the kernel refused map {name}; choose another {flag}")
            }
        }
        EbpfError::MapError(MapError::IncompatiblePinnedMap { .. }) => {
            "a pinned map is not ours; remove it, or choose another --pin-dir".to_owned()
        }
        _ => "the kernel or this binary is not what it should be".to_owned(),
    }
}

/// The flag that decides a map's size.
fn flag(map: &str) -> &'static str {
    let sizing = MAPS.iter().find(|(name, _)| *name == map);
    match sizing.map_or(Sizing::Fixed, |(_, sizing)| *sizing) {
        Sizing::Frontends | Sizing::Names => "--frontends (the most are some millions)",
        Sizing::Backends => "--backends (the most are some millions)",
        Sizing::Slots => "--slots (the most are some millions)",
        Sizing::Flows | Sizing::Expiries => "--flows (the most are some millions)",
        Sizing::HalfOpen => "--half-open (the most are some millions)",
        Sizing::Affinity => "--affinity (the most are some millions)",
        Sizing::Fixed => "kernel: it has a fixed size",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_flag_of_the_map() {
        for (map, code, said) in [
            (
                "BACKENDS",
                12,
                "no memory for map BACKENDS; choose a smaller --backends",
            ),
            (
                "FRONTENDS_V6",
                7,
                "refused map FRONTENDS_V6; choose another --frontends",
            ),
            ("LABELS", 7, "--frontends"),
            ("HALF_REVERSE_V4", 12, "--half-open"),
        ] {
            let error = EbpfError::MapError(MapError::CreateError {
                name: map.to_owned(),
                io_error: io::Error::from_raw_os_error(code),
            });
            assert!(advice(&error).contains(said), "{}", advice(&error));
        }
    }
}
