// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether what is in the maps fits into maps of other sizes.

use super::{
    super::maps::Sizes,
    copy::{self, CopyError},
};
use crate::maps::{Store as _, kernel::KernelStore};
use lb_common::wire::{Affinity, CHUNK_SLOTS, Flow};
use std::path::Path;

/// A size is too small for what is in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--{flag} {wanted} is too small: {used} are in use (maps pinned by the last run); \
     nothing was changed. Start with --{flag} {used} or more"
)]
pub struct Misfit {
    /// The flag.
    pub flag: &'static str,
    /// Its value.
    pub wanted: u32,
    /// What is needed.
    pub used: u32,
}

/// What is in use, in the units of the flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    frontends: u32,
    backends: u32,
    slots: u32,
    flows: u32,
    affinity: u32,
}

/// Counts what is in use.
pub(super) fn usage(maps: &Path) -> Result<Usage, CopyError> {
    let store = KernelStore::open(maps)?;
    let frontends = store.frontends()?;
    let v4 = frontends
        .iter()
        .filter(|(key, _)| key.address.is_ipv4())
        .count();
    let services = v4.max(frontends.len() - v4).max(store.labels()?.len());
    let chunks = frontends.iter().map(|(_, service)| {
        service
            .first_chunk
            .saturating_add(service.slot_count.div_ceil(CHUNK_SLOTS))
    });
    let backends = store.backends()?;
    Ok(Usage {
        frontends: u32::try_from(services).unwrap_or(u32::MAX),
        backends: backends.last().map_or(0, |(id, _)| id.saturating_add(1)),
        slots: chunks.max().unwrap_or(0),
        flows: copy::count::<Flow>(maps, ["FLOWS_V4", "FLOWS_V6"])?,
        affinity: copy::count::<Affinity>(maps, ["AFFINITY_V4", "AFFINITY_V6"])?,
    })
}

/// Compares; the half-open tables forget by themselves, so any size fits.
pub(super) fn check(used: &Usage, wanted: &Sizes) -> Result<(), Misfit> {
    for (flag, used, wanted) in [
        ("frontends", used.frontends, wanted.frontends),
        ("backends", used.backends, wanted.backends),
        ("slots", used.slots, wanted.slots),
        ("flows", used.flows, wanted.flows),
        ("affinity", used.affinity, wanted.affinity),
    ] {
        if used > wanted {
            return Err(Misfit { flag, wanted, used });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let wanted = Sizes {
            frontends: 4,
            backends: 4,
            slots: 4,
            flows: 4,
            half_open: 0,
            affinity: 4,
        };
        let full = Usage {
            frontends: 4,
            backends: 4,
            slots: 4,
            flows: 4,
            affinity: 4,
        };
        assert_eq!(check(&full, &wanted), Ok(()));
        for (used, flag) in [
            (
                Usage {
                    frontends: 5,
                    ..full
                },
                "frontends",
            ),
            (
                Usage {
                    backends: 5,
                    ..full
                },
                "backends",
            ),
            (Usage { slots: 5, ..full }, "slots"),
            (Usage { flows: 5, ..full }, "flows"),
            (
                Usage {
                    affinity: 5,
                    ..full
                },
                "affinity",
            ),
        ] {
            assert_eq!(
                check(&used, &wanted),
                Err(Misfit {
                    flag,
                    wanted: 4,
                    used: 5
                })
            );
        }
    }
}
