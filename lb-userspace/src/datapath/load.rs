// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loading the embedded BPF object against the maps of one folder of pins.

use super::{
    further::{self, FURTHER, NAMES},
    pin::{Folder, Hook},
    verified, verifier,
};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{MapError, MapInfo},
    programs::{Program, ProgramError, SchedClassifier, Xdp},
};
use lb_common::wire::MASQUERADES;
use std::{fs, io, path::Path};

/// The BPF object, built by `build.rs`; empty if `AYA_BUILD_SKIP` was set then.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weiche-bpf"));

/// The program that the agent runs itself, to start the sweep.
pub(super) const SWEEP: &str = "weiche_sweep";

/// The program for uplinks, before the host's stack.
pub(super) const UPLINK: &str = "weiche_uplink";

/// What programs report through; no map of theirs that a start must find.
pub(super) const LOG: &str = "AYA_LOGS";

/// Which interfaces lead into pods; the agent fills it while it follows them.
pub(super) const POD_LINKS: &str = "POD_LINKS";

/// Which interfaces lead to other machines; likewise.
pub(super) const UPLINKS: &str = "UPLINKS";

/// What goes along when flows move, since it is of a fixed size: which addresses flows have had,
/// who is shown to backends as this node, and where that is done.
pub(super) const SHARED: [&str; 5] = ["ENDS_V4", "ENDS_V6", "MASKS_V4", "MASKS_V6", UPLINKS];

/// Sizes that flags set; all in entries, `slots` in chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Frontends of each family, and Services' ports altogether.
    pub frontends: u32,
    /// Backend ids, id 0 included.
    pub backends: u32,
    /// Chunks of slots.
    pub slots: u32,
    /// Flows of each family.
    pub flows: u32,
    /// Half-open flows of each family.
    pub half_open: u32,
    /// Clients of each family that may be pinned to a backend, for each port of a Service.
    pub affinity: u32,
}

/// What decides a map's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizing {
    Frontends,
    /// Twice the frontends: headless Services and namespaces have names as well.
    Names,
    Backends,
    Slots,
    Flows,
    /// Twice the flows, of which one that is replaced leaves its entry until the sweep meets that,
    /// the affinities and the masquerades.
    Expiries,
    Affinity,
    HalfOpen,
    /// The object itself.
    Fixed,
}

/// Every pinned map, and what decides its size.
pub(super) const MAPS: [(&str, Sizing); 43] = [
    ("FRONTENDS_V4", Sizing::Frontends),
    ("FRONTENDS_V6", Sizing::Frontends),
    ("ADMITTED_V4", Sizing::Fixed),
    ("ADMITTED_V6", Sizing::Fixed),
    ("FLOWS_V4", Sizing::Flows),
    ("FLOWS_V6", Sizing::Flows),
    ("REVERSE_V4", Sizing::Flows),
    ("REVERSE_V6", Sizing::Flows),
    ("HALF_OPEN_V4", Sizing::HalfOpen),
    ("HALF_OPEN_V6", Sizing::HalfOpen),
    ("HALF_REVERSE_V4", Sizing::HalfOpen),
    ("HALF_REVERSE_V6", Sizing::HalfOpen),
    ("AFFINITY_V4", Sizing::Affinity),
    ("AFFINITY_V6", Sizing::Affinity),
    ("FOREIGN_V4", Sizing::Flows),
    ("FOREIGN_V6", Sizing::Flows),
    ("FRAGMENTS_V4", Sizing::Fixed),
    ("FRAGMENTS_V6", Sizing::Fixed),
    ("EXPIRY_V4", Sizing::Expiries),
    ("EXPIRY_V6", Sizing::Expiries),
    ("SWEEP", Sizing::Fixed),
    (POD_LINKS, Sizing::Fixed),
    (SHARED[0], Sizing::Fixed),
    (SHARED[1], Sizing::Fixed),
    (SHARED[2], Sizing::Fixed),
    (SHARED[3], Sizing::Fixed),
    (SHARED[4], Sizing::Fixed),
    ("ADDRESSES_V4", Sizing::Fixed),
    ("ADDRESSES_V6", Sizing::Fixed),
    ("NAMES", Sizing::Names),
    ("LONG_NAMES", Sizing::Names),
    ("RESOLVER", Sizing::Fixed),
    ("OVERHEARD", Sizing::Fixed),
    (FURTHER, Sizing::Fixed),
    ("SLOTS", Sizing::Slots),
    ("BACKENDS", Sizing::Backends),
    ("LABELS", Sizing::Frontends),
    ("NODE", Sizing::Fixed),
    ("RANGES", Sizing::Fixed),
    ("ACCOUNT", Sizing::Fixed),
    ("TURN", Sizing::Fixed),
    ("COUNTER", Sizing::Fixed),
    ("REASONS", Sizing::Fixed),
];

impl Sizes {
    /// The size of a map; `None` = as the object says.
    pub(super) fn of(&self, sizing: Sizing) -> Option<u32> {
        match sizing {
            Sizing::Frontends => Some(self.frontends),
            Sizing::Names => Some(self.frontends.saturating_mul(2)),
            Sizing::Backends => Some(self.backends),
            Sizing::Slots => Some(self.slots),
            Sizing::Flows => Some(self.flows),
            Sizing::Expiries => {
                let others = self.affinity.saturating_add(MASQUERADES);
                Some(self.flows.saturating_mul(2).saturating_add(others))
            }
            Sizing::Affinity => Some(self.affinity),
            Sizing::HalfOpen => Some(self.half_open),
            Sizing::Fixed => None,
        }
    }

    /// The sizes of the maps pinned in a folder, if all of them are there.
    pub(super) fn read(folder: &Folder) -> Result<Self, MapError> {
        let entries = |name| MapInfo::from_pin(folder.maps().join(name)).map(|i| i.max_entries());
        for (name, _) in MAPS {
            entries(name)?;
        }
        Ok(Self {
            frontends: entries("FRONTENDS_V4")?,
            backends: entries("BACKENDS")?,
            slots: entries("SLOTS")?,
            flows: entries("FLOWS_V4")?,
            half_open: entries("HALF_OPEN_V4")?,
            affinity: entries("AFFINITY_V4")?,
        })
    }
}

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
pub(super) fn load(folder: &Folder, sizes: &Sizes, state_dir: &Path) -> Result<Ebpf, LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::Empty);
    }
    let verified = verified::find(folder);
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
    let mut ebpf = loader.load(OBJECT).map_err(|cause| LoadError::Object {
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
pub(super) fn pin_programs(ebpf: &mut Ebpf, folder: &Folder) -> Result<(), LoadError> {
    if verified::find(folder).is_some() {
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
    verified::note(folder);
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
        .chain([NAMES, SWEEP, UPLINK])
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
