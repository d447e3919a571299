// SPDX-License-Identifier: MIT OR Apache-2.0
//! `UPLINKS`: where clients from outside come in, and as whom they are shown to backends elsewhere.

use super::addresses::Addresses;
use crate::{causes::with_causes, clock, datapath::load::UPLINKS, maps::pod::Wire};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError},
};
use lb_common::{
    family::{Family as _, V4, V6, WideAddress},
    wire::{Sealed as _, Uplink, fingerprint},
};
use std::collections::{BTreeMap, BTreeSet};

/// The map. Without it, as without an entry, nobody comes from outside.
#[derive(Debug)]
pub(super) struct Uplinks(Option<HashMap<MapData, u32, Wire<Uplink>>>);

impl Uplinks {
    pub(super) fn of(ebpf: &mut Ebpf) -> Self {
        let map = ebpf.take_map(UPLINKS);
        Self(map.and_then(|map| HashMap::try_from(map).ok()))
    }

    /// Makes it these uplinks, with these addresses.
    pub(super) fn set(&mut self, uplinks: &BTreeMap<u32, Addresses>) {
        if let Err(error) = self.write(uplinks) {
            tracing::warn!("which interfaces are uplinks: {}", with_causes(&error));
        }
    }

    fn write(&mut self, uplinks: &BTreeMap<u32, Addresses>) -> Result<(), MapError> {
        let Some(map) = &mut self.0 else {
            return Ok(());
        };
        let known: BTreeSet<u32> = map.keys().collect::<Result<_, _>>()?;
        for gone in known.iter().filter(|known| !uplinks.contains_key(known)) {
            map.remove(gone)?;
        }
        for (ifindex, addresses) in uplinks {
            let (identity, addresses) = (fingerprint(ifindex), wide(*addresses));
            let is_there = match map.get(ifindex, 0) {
                Ok(Wire(known)) => known.intact(identity) && known.addresses == addresses,
                Err(MapError::KeyNotFound) => false,
                Err(error) => return Err(error),
            };
            if !is_there {
                let version = clock::monotonic_ns();
                let uplink = Uplink {
                    version,
                    identity,
                    addresses,
                    version_end: version,
                };
                map.insert(ifindex, &Wire(uplink), 0)?;
            }
        }
        Ok(())
    }
}

fn wide(Addresses { v4, v6 }: Addresses) -> [WideAddress; 2] {
    [
        v4.map_or([0; 16], |address| V4::widen(address.octets())),
        v6.map_or([0; 16], |address| V6::widen(address.octets())),
    ]
}
