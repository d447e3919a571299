// SPDX-License-Identifier: MIT OR Apache-2.0
//! `UPLINKS`: where clients from outside come in, and as whom they are shown to backends elsewhere.

use super::addresses::Addresses;
use crate::{causes::with_causes, clock, datapath::maps::UPLINKS, maps::pod::Wire};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError},
};
use lb_common::{
    family::{Family as _, V4, V6, WideAddress},
    wire::{Uplink, fingerprint},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of an uplink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) addresses: Addresses,
    pub(super) station: [u8; 6],
    /// Whether frames may be sent out there by XDP.
    pub(super) takes_frames: bool,
}

impl Known {
    fn uplink(self, ifindex: u32, version: u64) -> Uplink {
        Uplink {
            version,
            identity: fingerprint(&ifindex),
            addresses: wide(self.addresses),
            station: self.station,
            takes_frames: u8::from(self.takes_frames),
            pad: 0,
            version_end: version,
        }
    }
}

/// The map. Without it, as without an entry, nobody comes from outside.
#[derive(Debug)]
pub(super) struct Uplinks(Option<HashMap<MapData, u32, Wire<Uplink>>>);

impl Uplinks {
    pub(super) fn of(ebpf: &mut Ebpf) -> Self {
        let map = ebpf.take_map(UPLINKS);
        Self(map.and_then(|map| HashMap::try_from(map).ok()))
    }

    /// Makes it these uplinks.
    pub(super) fn set(&mut self, uplinks: &BTreeMap<u32, Known>) {
        if let Err(error) = self.write(uplinks) {
            tracing::warn!("which interfaces are uplinks: {}", with_causes(&error));
        }
    }

    fn write(&mut self, uplinks: &BTreeMap<u32, Known>) -> Result<(), MapError> {
        let Some(map) = &mut self.0 else {
            return Ok(());
        };
        let known: BTreeSet<u32> = map.keys().collect::<Result<_, _>>()?;
        for gone in known.iter().filter(|known| !uplinks.contains_key(known)) {
            map.remove(gone)?;
        }
        for (ifindex, wanted) in uplinks {
            let is_there = match map.get(ifindex, 0) {
                Ok(Wire(there)) => there == wanted.uplink(*ifindex, there.version),
                Err(MapError::KeyNotFound) => false,
                Err(error) => return Err(error),
            };
            if !is_there {
                let uplink = wanted.uplink(*ifindex, clock::monotonic_ns());
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
