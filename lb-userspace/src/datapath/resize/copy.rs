// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copying maps into maps of other sizes.
//!
//! An entry of `FLOWS` has a timer that only a program can start, so those are handed to one
//! (`weiche_adopt_*`), run once per flow: it inserts and starts the timer.

use super::super::{
    attach::Attacher,
    load::{ADOPT, LoadError, classifier},
};
use crate::maps::{
    Store as _, StoreError,
    kernel::{KernelStore, OpenError, entries, open},
    pod::Wire,
};
use aya::{
    Pod,
    maps::{HashMap, MapData, MapError},
    programs::{ProgramError, TestRun as _, TestRunOptions},
};
use lb_common::{
    conntrack::{self, Target},
    family::{Family, V4, V6},
    wire::{Flow, Reverse, Sealed as _, Tuple, fingerprint},
};
use std::path::Path;
use zerocopy::IntoBytes as _;

/// An entry, or a whole map, could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A map cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A map of settings cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A table of flows cannot be read or written.
    #[error("copying map {map}")]
    Map {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        #[source]
        cause: Box<MapError>,
    },
    /// The program that takes flows over is not there.
    #[error(transparent)]
    Program(#[from] LoadError),
    /// The program that takes flows over cannot be run.
    #[error("running {program} to take over a flow")]
    Adopt {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        #[source]
        cause: Box<ProgramError>,
    },
}

/// What became of the flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    established: u32,
    half_open: u32,
    /// Flows for which there was no room.
    lost: u32,
    /// Flows that ended while they were copied.
    ended: u32,
}

impl Copied {
    pub(super) fn report(self, what: &str) {
        let Self {
            established,
            half_open,
            lost,
            ended,
        } = self;
        tracing::info!(established, half_open, ended, "{what}");
        if lost > 0 {
            tracing::warn!(
                lost,
                "flows found no room in the new maps; start with a larger --flows"
            );
        }
    }
}

/// The return value of `weiche_adopt_*` for a flow that is there now.
const ADOPTED: u32 = 0;

/// Entries after which an unlucky walk over a table that changes under it gives up, as a multiple
/// of the table's size.
const WALKS: usize = 4;

/// Copies what the agent itself writes: frontends, backends, slots, labels, node, counter.
pub(super) fn settings(from: &Path, to: &Path) -> Result<(), CopyError> {
    let (from, mut to) = (KernelStore::open(from)?, KernelStore::open(to)?);
    // The order in which everything is written: what is pointed to comes first.
    to.put_counter(from.counter()?)?;
    to.put_node(&from.node()?)?;
    for (id, backend) in from.backends()? {
        to.put_backend(id, &backend)?;
    }
    let chunks = from.capacity().chunks.min(to.capacity().chunks);
    to.put_chunks(0, &from.chunks(0, chunks)?)?;
    for (id, label) in from.labels()? {
        to.put_label(id, &label)?;
    }
    for (frontend, service) in from.frontends()? {
        to.put_frontend(frontend, &service)?;
    }
    Ok(())
}

/// Copies all flows that are not there yet.
pub(super) fn flows(attacher: &mut Attacher, from: &Path, to: &Path) -> Result<Copied, CopyError> {
    let [adopt_v4, adopt_v6] = ADOPT;
    let mut copied = Copied::default();
    established::<V4>(
        attacher,
        adopt_v4,
        from,
        ["FLOWS_V4", "REVERSE_V4"],
        &mut copied,
    )?;
    established::<V6>(
        attacher,
        adopt_v6,
        from,
        ["FLOWS_V6", "REVERSE_V6"],
        &mut copied,
    )?;
    for names in [
        ["HALF_OPEN_V4", "HALF_REVERSE_V4"],
        ["HALF_OPEN_V6", "HALF_REVERSE_V6"],
    ] {
        let copy = if names[0].ends_with('4') {
            half_open::<V4>
        } else {
            half_open::<V6>
        };
        copy(from, to, names, &mut copied)?;
    }
    Ok(copied)
}

/// How many flows the fuller of the two families has.
pub(super) fn count_flows(maps: &Path) -> Result<u32, CopyError> {
    let v4 = keys::<V4>(maps, &open(maps, "FLOWS_V4")?, "FLOWS_V4")?.len();
    let v6 = keys::<V6>(maps, &open(maps, "FLOWS_V6")?, "FLOWS_V6")?.len();
    Ok(u32::try_from(v4.max(v6)).unwrap_or(u32::MAX))
}

type Key<F> = Wire<Tuple<<F as Family>::Address>>;
type Table<F, V> = HashMap<MapData, Key<F>, Wire<V>>;

fn established<F: Family>(
    attacher: &mut Attacher,
    program: &'static str,
    from: &Path,
    [flows_name, reverse_name]: [&'static str; 2],
    copied: &mut Copied,
) -> Result<(), CopyError> {
    let flows: Table<F, Flow> = open(from, flows_name)?;
    let reverses: Table<F, Reverse> = open(from, reverse_name)?;
    let adopt = classifier(&mut attacher.ebpf, program)?;
    for key in keys::<F>(from, &flows, flows_name)? {
        let Some((flow, reverse_key, reverse)) =
            read_pair::<F>(&key, (&flows, flows_name), (&reverses, reverse_name))?
        else {
            copied.ended += 1;
            continue;
        };
        let packet = [
            &[0; 14],
            key.0.as_bytes(),
            flow.0.as_bytes(),
            reverse_key.0.as_bytes(),
            reverse.0.as_bytes(),
        ]
        .concat();
        let run = TestRunOptions {
            data_in: Some(&packet),
            ..TestRunOptions::default()
        };
        let result = adopt.test_run(run).map_err(|cause| CopyError::Adopt {
            program,
            cause: Box::new(cause),
        })?;
        if result.return_value == ADOPTED {
            copied.established += 1;
        } else {
            copied.lost += 1;
        }
    }
    Ok(())
}

fn half_open<F: Family>(
    from: &Path,
    to: &Path,
    [flows_name, reverse_name]: [&'static str; 2],
    copied: &mut Copied,
) -> Result<(), CopyError> {
    let flows: Table<F, Flow> = open(from, flows_name)?;
    let mut new_flows: Table<F, Flow> = open(to, flows_name)?;
    let reverses: Table<F, Reverse> = open(from, reverse_name)?;
    let mut new_reverses: Table<F, Reverse> = open(to, reverse_name)?;
    for key in keys::<F>(from, &flows, flows_name)? {
        let Some((flow, reverse_key, reverse)) =
            read_pair::<F>(&key, (&flows, flows_name), (&reverses, reverse_name))?
        else {
            continue;
        };
        put(&mut new_flows, &key, &flow, flows_name)?;
        put(&mut new_reverses, &reverse_key, &reverse, reverse_name)?;
        copied.half_open += 1;
    }
    Ok(())
}

/// All keys at once, so that values are read as late as possible.
fn keys<F: Family>(
    maps: &Path,
    table: &Table<F, Flow>,
    map: &'static str,
) -> Result<Vec<Key<F>>, CopyError> {
    let room = usize::try_from(entries(maps, map)?)
        .unwrap_or(usize::MAX)
        .saturating_mul(WALKS);
    let mut keys = Vec::new();
    for key in table.keys().take(room) {
        keys.push(key.map_err(|cause| CopyError::Map {
            map,
            cause: Box::new(cause),
        })?);
    }
    keys.sort_by_key(|key| key.0);
    keys.dedup_by_key(|key| key.0);
    Ok(keys)
}

/// Both entries of a flow; `None` = it has ended meanwhile.
type Pair<F> = Option<(Wire<Flow>, Key<F>, Wire<Reverse>)>;

fn read_pair<F: Family>(
    key: &Key<F>,
    (flows, flows_name): (&Table<F, Flow>, &'static str),
    (reverses, reverse_name): (&Table<F, Reverse>, &'static str),
) -> Result<Pair<F>, CopyError> {
    // Freed elements are reused at once, so a value may be another key's: it is asked for again.
    for _ in 0..2 {
        let Some(flow) = get(flows, key, flows_name)? else {
            return Ok(None);
        };
        let mut reverse_key = *key;
        conntrack::write_reverse_key::<F>(&mut reverse_key.0, &key.0, &Target::of(&flow.0));
        let Some(reverse) = get(reverses, &reverse_key, reverse_name)? else {
            return Ok(None);
        };
        if flow.0.intact(fingerprint(&key.0)) && reverse.0.intact(fingerprint(&reverse_key.0)) {
            return Ok(Some((flow, reverse_key, reverse)));
        }
    }
    Ok(None)
}

fn get<K: Pod, V: Pod>(
    table: &HashMap<MapData, K, V>,
    key: &K,
    map: &'static str,
) -> Result<Option<V>, CopyError> {
    match table.get(key, 0) {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(cause) => Err(CopyError::Map {
            map,
            cause: Box::new(cause),
        }),
    }
}

/// Inserts what is not there yet.
fn put<K: Pod, V: Pod>(
    table: &mut HashMap<MapData, K, V>,
    key: &K,
    value: &V,
    map: &'static str,
) -> Result<(), CopyError> {
    /// `BPF_NOEXIST` of `include/uapi/linux/bpf.h`.
    const NOEXIST: u64 = 1;
    match table.insert(key, value, NOEXIST) {
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Ok(())
        }
        other => other.map_err(|cause| CopyError::Map {
            map,
            cause: Box::new(cause),
        }),
    }
}
