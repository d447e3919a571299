// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that others go on with, which no hook has: they stand in an array that is pinned like
//! all maps, so a program that runs finds there what was loaded last.

use super::{load::LoadError, pin::Hook};
use aya::{
    Ebpf,
    maps::{MapError, ProgramArray},
    programs::{ProgramError, SchedClassifier},
};

/// What answers questions for names, and what leads into tunnels and out of them.
pub(super) const PROGRAMS: [&str; 2] = ["weiche_names", "weiche_tunnel"];

/// The array.
pub(super) const FURTHER: &str = "FURTHER";

/// Puts the loaded programs into the array, each in place of the one before: in between, either
/// answers.
pub fn fill(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let programs = [Hook::Ingress.program()].into_iter().chain(PROGRAMS);
    for (index, name) in (0..).zip(programs) {
        let failed = |cause: ProgramError| LoadError::Program {
            name,
            cause: Box::new(cause),
        };
        let program = ebpf.program(name).ok_or(LoadError::NoProgram { name })?;
        let program: &SchedClassifier = program.try_into().map_err(failed)?;
        let fd = program.fd().and_then(|fd| Ok(fd.try_clone()?));
        let fd = fd.map_err(failed)?;
        let written = further(ebpf).and_then(|mut further| further.set(index, &fd, 0));
        written.map_err(|cause| failed(cause.into()))?;
    }
    Ok(())
}

fn further(ebpf: &mut Ebpf) -> Result<ProgramArray<&mut aya::maps::MapData>, MapError> {
    let map = ebpf.map_mut(FURTHER);
    let missing = || MapError::InvalidName {
        name: FURTHER.to_owned(),
    };
    map.ok_or_else(missing)?.try_into()
}
