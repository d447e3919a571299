// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copying maps into maps of other sizes, while packets go on changing the flows in both.
//!
//! A second copy merges what packets have changed in the old table since the first. What a packet
//! writes into the new one between our look and our write is lost: the next one writes it again.

use crate::{
    clock,
    maps::{
        Store as _, StoreError,
        kernel::{KernelNames, KernelStore, OpenError, Put, Write, entries, open},
        pod::Wire,
    },
};
use aya::{
    Pod,
    maps::{HashMap, MapData, MapError, Queue},
};
use lb_common::{
    conntrack::{self, Target},
    family::{Family, V4, V6},
    masquerade,
    wire::{
        Affinity, Backend, Expiry, Flow, Foreign, Manner, Mask, Reverse, Sealed, Takeover,
        Timeouts, Tuple, fingerprint,
    },
};
use std::path::Path;
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

/// Entries after which an unlucky walk over a table that changes under it gives up, as a multiple
/// of the table's size.
const WALKS: usize = 4;

/// Copies what the agent itself writes. Meanwhile, nothing that is unknown is reset, or taken for
/// netfilter's: some flows are not known yet. The agent's own settings end that.
pub(super) fn settings(from: &Path, to: &Path) -> Result<(), CopyError> {
    let (from, mut to) = (KernelStore::open(from)?, KernelStore::open(to)?);
    // The order in which everything is written: what is pointed to comes first.
    to.put_counter(from.counter()?)?;
    let mut node = from.node()?;
    node.refusals.unknown_flow = Manner::Drop.byte();
    if node.takeover == Takeover::Serving.number() {
        node.takeover = Takeover::Moving.number();
    }
    to.put_node(&node)?;
    to.put_ranges(&from.ranges()?)?;
    let with_id = |(id, backend)| Backend { id, ..backend };
    let backends: Vec<_> = from.backends()?.into_iter().map(with_id).collect();
    to.put_backends(&backends)?;
    let chunks = from.capacity().chunks.min(to.capacity().chunks);
    to.put_chunks(0, &from.chunks(0, chunks)?)?;
    for (id, label) in from.labels()? {
        to.put_label(id, &label)?;
    }
    for (id, range) in from.admitted()? {
        to.admit(id, range)?;
    }
    for (frontend, service) in from.frontends()? {
        to.put_frontend(frontend, &service)?;
    }
    Ok(())
}

/// Copies the names that the kernel answers from, if there is room for all of them; otherwise they
/// are the server's until the agent writes them.
pub(super) fn names(from: &Path, to: &Path) -> Result<(), CopyError> {
    let (from, mut to) = (KernelNames::open(from)?, KernelNames::open(to)?);
    for (key, entry) in from.list()? {
        match to.put(&key, &entry) {
            Err(StoreError::Full { .. }) => return Ok(()),
            other => other?,
        }
    }
    Ok(to.put_resolver(&from.resolver()?)?)
}

/// The maps of one family.
struct Names {
    established: [&'static str; 2],
    half_open: [&'static str; 2],
    affinity: &'static str,
    foreign: &'static str,
    masks: &'static str,
    expiry: &'static str,
}

/// Copies all flows that are not there yet, and merges the others.
pub(super) fn flows(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let v4 = Names {
        established: ["FLOWS_V4", "REVERSE_V4"],
        half_open: ["HALF_OPEN_V4", "HALF_REVERSE_V4"],
        affinity: "AFFINITY_V4",
        foreign: "FOREIGN_V4",
        masks: "MASKS_V4",
        expiry: "EXPIRY_V4",
    };
    let v6 = Names {
        established: ["FLOWS_V6", "REVERSE_V6"],
        half_open: ["HALF_OPEN_V6", "HALF_REVERSE_V6"],
        affinity: "AFFINITY_V6",
        foreign: "FOREIGN_V6",
        masks: "MASKS_V6",
        expiry: "EXPIRY_V6",
    };
    family::<V4>(from, to, &v4, &mut copied)?;
    family::<V6>(from, to, &v6, &mut copied)?;
    Ok(copied)
}

/// How many entries the fuller of two families' tables has.
pub(super) fn count<V: FromBytes + IntoBytes + Immutable + Copy + 'static>(
    maps: &Path,
    [v4, v6]: [&'static str; 2],
) -> Result<u32, CopyError> {
    let v4 = keys::<V4, V>(maps, &open(maps, v4)?, v4)?.len();
    let v6 = keys::<V6, V>(maps, &open(maps, v6)?, v6)?.len();
    Ok(u32::try_from(v4.max(v6)).unwrap_or(u32::MAX))
}

type Key<F> = Wire<Tuple<<F as Family>::Address>>;
type Table<F, V> = HashMap<MapData, Key<F>, Wire<V>>;
type Entries<F> = Queue<MapData, Wire<Expiry<<F as Family>::Address>>>;

fn family<F: Family>(
    from: &Path,
    to: &Path,
    names: &Names,
    copied: &mut Copied,
) -> Result<(), CopyError> {
    let timeouts = KernelStore::open(from)?.node()?.timeouts;
    let [established, half_open] = [names.established, names.half_open]
        .map(|names| copy_pair::<F>(from, to, names, &timeouts, copied));
    copied.established += established?;
    copied.half_open += half_open?;
    copy_newest::<F, Affinity>(from, to, names.affinity)?;
    copy_newest::<F, Foreign>(from, to, names.foreign)?;
    enqueue::<F>(to, names)
}

/// Copies entries whose version is when they were last used, each unless the new one was used
/// later.
fn copy_newest<F: Family, V>(from: &Path, to: &Path, map: &'static str) -> Result<(), CopyError>
where
    V: Sealed + FromBytes + IntoBytes + Immutable + 'static,
{
    let table: Table<F, V> = open(from, map)?;
    let mut new_table: Table<F, V> = open(to, map)?;
    for key in keys::<F, _>(from, &table, map)? {
        let old = get(&table, &key, map)?;
        let Some(old) = old.filter(|old| old.0.intact(fingerprint(&key.0))) else {
            continue;
        };
        if put(&mut new_table, &key, &old, Write::New, map)? != Put::There {
            continue;
        }
        let new = get(&new_table, &key, map)?;
        if new.is_some_and(|new| new.0.versions() < old.0.versions()) {
            put(&mut new_table, &key, &old, Write::Again, map)?;
        }
    }
    Ok(())
}

/// Copies the flows of a pair of tables, and says how many are there now.
fn copy_pair<F: Family>(
    from: &Path,
    to: &Path,
    [flows_name, reverse_name]: [&'static str; 2],
    timeouts: &Timeouts,
    copied: &mut Copied,
) -> Result<u32, CopyError> {
    let flows: Table<F, Flow> = open(from, flows_name)?;
    let mut new_flows: Table<F, Flow> = open(to, flows_name)?;
    let reverses: Table<F, Reverse> = open(from, reverse_name)?;
    let mut new_reverses: Table<F, Reverse> = open(to, reverse_name)?;
    let mut count = 0;
    for key in keys::<F, _>(from, &flows, flows_name)? {
        let Some((flow, reverse_key, reverse)) =
            read_pair::<F>(&key, (&flows, flows_name), (&reverses, reverse_name))?
        else {
            copied.ended += 1;
            continue;
        };
        // The flow first, as in `conntrack::open`.
        let mut made = put(&mut new_flows, &key, &flow, Write::New, flows_name)?;
        if made == Put::There {
            merge::<F>(&mut new_flows, &key, &flow, timeouts, flows_name)?;
        }
        if made != Put::Full {
            let reverses = &mut new_reverses;
            made = put(reverses, &reverse_key, &reverse, Write::New, reverse_name)?;
        }
        if made == Put::Full {
            copied.lost += 1;
        } else {
            count += 1;
        }
    }
    Ok(count)
}

/// What packets have made of a flow in the old table since it was copied, they have made of it.
fn merge<F: Family>(
    table: &mut Table<F, Flow>,
    key: &Key<F>,
    old: &Wire<Flow>,
    timeouts: &Timeouts,
    map: &'static str,
) -> Result<(), CopyError> {
    let Some(known) = get(table, key, map)? else {
        return Ok(());
    };
    let now_ns = clock::monotonic_ns();
    let merged = conntrack::merge(&known.0, &old.0, key.0.protocol, now_ns, timeouts);
    if let Some(merged) = merged {
        put(table, key, &Wire(merged), Write::Again, map)?;
    }
    Ok(())
}

/// Gives every flow, affinity and masquerade an entry in the queue, whatever was in there: also
/// where an agent died in the middle of copying.
///
/// A flow that begins meanwhile may get two; the sweep drops one when the flow is over.
fn enqueue<F: Family>(maps: &Path, names: &Names) -> Result<(), CopyError> {
    let mut queue: Entries<F> = open(maps, names.expiry)?;
    // No more than it has room for: packets put in new ones.
    for _ in 0..queue.capacity() {
        match queue.pop(0) {
            Ok(_) => {}
            Err(MapError::ElementNotFound) => break,
            Err(cause) => return Err(failed(names.expiry)(cause)),
        }
    }
    let of_flow = |key, flow: Flow| Some((flow.born_ns, key));
    add_entries::<F, _>(maps, names.established[0], &mut queue, of_flow)?;
    let of_affinity = |key, affinity: Affinity| Some((affinity.born_ns, key));
    add_entries::<F, _>(maps, names.affinity, &mut queue, of_affinity)?;
    // One for both halves.
    let of_mask = |key, mask: Mask| {
        let is_clients = mask.end == Mask::SOURCE;
        is_clients.then(|| (mask.born_ns, masquerade::queued(&key)))
    };
    add_entries::<F, _>(maps, names.masks, &mut queue, of_mask)
}

fn add_entries<F: Family, V: FromBytes + IntoBytes + Immutable + Copy + 'static>(
    maps: &Path,
    map: &'static str,
    queue: &mut Entries<F>,
    entry: impl Fn(Tuple<F::Address>, V) -> Option<(u64, Tuple<F::Address>)>,
) -> Result<(), CopyError> {
    let table: Table<F, V> = open(maps, map)?;
    for key in keys::<F, _>(maps, &table, map)? {
        let value = get(&table, &key, map)?;
        if let Some((born_ns, key)) = value.and_then(|value| entry(key.0, value.0)) {
            let born_ns = born_ns.to_ne_bytes();
            let entry = Wire(Expiry { born_ns, key });
            queue.push(&entry, 0).map_err(failed(map))?;
        }
    }
    Ok(())
}

/// All keys at once, so that values are read as late as possible.
fn keys<F: Family, V: FromBytes + IntoBytes + Immutable + Copy + 'static>(
    maps: &Path,
    table: &Table<F, V>,
    map: &'static str,
) -> Result<Vec<Key<F>>, CopyError> {
    let room = usize::try_from(entries(maps, map)?)
        .unwrap_or(usize::MAX)
        .saturating_mul(WALKS);
    let mut keys = Vec::new();
    for key in table.keys().take(room) {
        keys.push(key.map_err(failed(map))?);
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
        Err(cause) => Err(failed(map)(cause)),
    }
}

fn put<K: Pod, V: Pod>(
    table: &mut HashMap<MapData, K, V>,
    key: &K,
    value: &V,
    write: Write,
    map: &'static str,
) -> Result<Put, CopyError> {
    write.put(table, key, value).map_err(failed(map))
}

fn failed(map: &'static str) -> impl Fn(MapError) -> CopyError {
    move |cause| CopyError::Map {
        map,
        cause: Box::new(cause),
    }
}
