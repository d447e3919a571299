// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables as the packet path reaches them; every call is noted.

use super::{Holds, Key, Layer, Live, Value};
use crate::{
    explain::record::{Ends, Event, Seen},
    maps::{Frontend, kernel::Table},
};
use lb_common::{
    family::{Family, V4},
    tables::{Found, InsertError, Side, Stage, Tables, Torn, Touch},
    wire::{
        Affinity, Backend, Expiry, Flow, Foreign, Fragment, FragmentKey, FrontendKey, Mask, Range,
        Reverse, Service, Tuple,
    },
};
use std::net::{IpAddr, SocketAddr};

impl Live<'_> {
    /// What making an entry comes to; whoever makes it writes it down.
    fn try_insert<K: Key, V: Value>(
        &self,
        written: &Layer<K, V>,
        table: &Table<K, V>,
        key: &K,
        is_lru: bool,
    ) -> Result<(), InsertError> {
        let room = Self::room(written, table, key, is_lru);
        self.read(room, Err(InsertError::Full))
    }
}

impl<F: Family<Address: Into<IpAddr>>> Tables<F> for Live<'_>
where
    Self: Holds<F>,
{
    type Place = ();

    fn service(&self, key: &FrontendKey<F::Address>) -> Found<Service> {
        let found = self.read(self.tables().frontends.find(key), Err(Torn));
        let frontend = Frontend {
            address: key.address.into(),
            port: u16::from_be_bytes(key.port),
            protocol: key.protocol,
            scope: key.scope,
        };
        self.note(Event::Service(frontend, found));
        // Whether an uplink leads to the backend is the routing table's to say: here, none does.
        let near = |service: Service| Service {
            flags: service.flags & !(Service::IPIP | Service::GENEVE),
            ..service
        };
        Ok(found?.map(near))
    }

    fn admits(&self, service_id: u32, client: &F::Address) -> bool {
        let admits = self.tables().admitted.admits(service_id, *client);
        let admits = self.read(admits, false);
        self.note(Event::Admits(admits));
        admits
    }

    fn range(&self) -> Range {
        let [v4, v6] = self.ranges;
        let range = if F::ETHERTYPE == V4::ETHERTYPE {
            v4
        } else {
            v6
        };
        self.note(Event::Range(range));
        range
    }

    fn slot(&self, first_chunk: u32, slot: u32) -> Option<u32> {
        let id = self.read(self.maps.slot(first_chunk, slot), None);
        self.note(Event::Slot(slot, id));
        id
    }

    fn backend(&self, id: u32) -> Found<Backend> {
        let found = self.read(self.maps.backend(id), Err(Torn));
        self.note(Event::Backend(id, found));
        found
    }

    fn flow(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Flow) -> Found<()> {
        let written = &self.written().stage(stage).flows;
        let found = self.find(written, self.tables().flows(stage), key);
        let seen = |flow: Flow| Seen {
            flow,
            backend: at(F::narrow(flow.address), flow.port),
        };
        let noted = found.map(|found| found.map(seen));
        self.note(Event::Flow(stage, ends::<F>(key), noted));
        Ok(found?.map(|flow| *into = flow))
    }

    fn insert_flow(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        flow: &Flow,
    ) -> Result<(), InsertError> {
        let written = &self.written().stage(stage).flows;
        let is_lru = stage == Stage::HalfOpen;
        let made = self.try_insert(written, self.tables().flows(stage), key, is_lru);
        self.note(Event::MakeFlow(stage, made));
        made?;
        let written = &mut self.written_mut().stage_mut(stage).flows;
        written.insert(*key, Some(*flow));
        Ok(())
    }

    // Nothing of this packet's reads what it has just prolonged.
    fn touch(&mut self, _stage: Stage, _place: (), _flow: &Flow, _side: Side, _touch: &Touch) {}

    fn remove_flow(&mut self, stage: Stage, key: &Tuple<F::Address>) {
        self.note(Event::RemoveFlow);
        let written = &mut self.written_mut().stage_mut(stage).flows;
        written.insert(*key, None);
    }

    fn reverse(&self, stage: Stage, key: &Tuple<F::Address>, into: &mut Reverse) -> Found<()> {
        let written = &self.written().stage(stage).reverses;
        let found = self.find(written, self.tables().reverses(stage), key);
        let noted = found.map(|found| found.map(|_| ()));
        self.note(Event::Reverse(ends::<F>(key), noted));
        Ok(found?.map(|reverse| *into = reverse))
    }

    fn insert_reverse(
        &mut self,
        stage: Stage,
        key: &Tuple<F::Address>,
        reverse: &Reverse,
    ) -> Result<(), InsertError> {
        let written = &self.written().stage(stage).reverses;
        let is_lru = stage == Stage::HalfOpen;
        let made = self.try_insert(written, self.tables().reverses(stage), key, is_lru);
        self.note(Event::MakeReverse(made));
        made?;
        let written = &mut self.written_mut().stage_mut(stage).reverses;
        written.insert(*key, Some(*reverse));
        Ok(())
    }

    fn remove_reverse(&mut self, stage: Stage, key: &Tuple<F::Address>) {
        self.note(Event::RemoveReverse);
        let written = &mut self.written_mut().stage_mut(stage).reverses;
        written.insert(*key, None);
    }

    fn affinity(&self, key: &Tuple<F::Address>, into: &mut Affinity) -> Found<()> {
        let found = self.find(&self.written().affinities, &self.tables().affinities, key);
        self.note(Event::Affinity(found));
        Ok(found?.map(|affinity| *into = affinity))
    }

    fn insert_affinity(
        &mut self,
        key: &Tuple<F::Address>,
        affinity: &Affinity,
    ) -> Result<(), InsertError> {
        let written = &self.written().affinities;
        let made = self.try_insert(written, &self.tables().affinities, key, false);
        self.note(Event::MakeAffinity(made));
        made?;
        self.written_mut().affinities.insert(*key, Some(*affinity));
        Ok(())
    }

    fn replace_affinity(&mut self, key: &Tuple<F::Address>, affinity: &Affinity) -> bool {
        let written = &self.written().affinities;
        let is_there = match written.get(key) {
            Some(value) => value.is_some(),
            None => self.read(self.tables().affinities.has(key), false),
        };
        self.note(Event::KeepAffinity(is_there));
        if is_there {
            self.written_mut().affinities.insert(*key, Some(*affinity));
        }
        is_there
    }

    fn remove_affinity(&mut self, key: &Tuple<F::Address>) {
        self.written_mut().affinities.insert(*key, None);
    }

    fn foreign(&self, key: &Tuple<F::Address>, into: &mut Foreign) -> Found<()> {
        let found = self.find(&self.written().foreigns, &self.tables().foreigns, key);
        self.note(Event::Foreign(found));
        Ok(found?.map(|foreign| *into = foreign))
    }

    fn put_foreign(&mut self, key: &Tuple<F::Address>, foreign: &Foreign) -> bool {
        let written = &self.written().foreigns;
        let made = self.try_insert(written, &self.tables().foreigns, key, false);
        let is_written = made != Err(InsertError::Full);
        if is_written {
            self.written_mut().foreigns.insert(*key, Some(*foreign));
        }
        is_written
    }

    fn remove_foreign(&mut self, key: &Tuple<F::Address>) {
        self.written_mut().foreigns.insert(*key, None);
    }

    fn mask(&self, key: &Tuple<F::Address>, into: &mut Mask) -> Found<()> {
        let found = self.read(self.tables().masks.find(key), Err(Torn));
        Ok(found?.map(|mask| *into = mask))
    }

    // Where it would leave is the routing table's to say, so it begins no masquerade.
    fn insert_mask(&mut self, _key: &Tuple<F::Address>, _mask: &Mask) -> Result<(), InsertError> {
        Ok(())
    }

    fn remove_mask(&mut self, _key: &Tuple<F::Address>) {}

    // The packet is a whole one, so what fragments teach is asked by nobody.
    fn fragment(&self, _key: &FragmentKey<F::Address>, _into: &mut Fragment) -> Found<()> {
        Ok(None)
    }

    fn learn_fragment(&mut self, _key: &FragmentKey<F::Address>, _fragment: &Fragment) {}

    fn forget_fragment(&mut self, _key: &FragmentKey<F::Address>) {}

    // A queue can be looked into only by taking from it. It has room for twice as many flows as
    // their table has, so it is full before that one only where flows begin anew faster than the
    // sweep comes round.
    fn add_expiry(&mut self, _entry: &Expiry<F::Address>) -> bool {
        true
    }

    fn take_expiry(&mut self, _into: &mut Expiry<F::Address>) -> bool {
        false
    }
}

fn ends<F: Family<Address: Into<IpAddr>>>(key: &Tuple<F::Address>) -> Ends {
    [
        at(key.source, key.source_port),
        at(key.destination, key.destination_port),
    ]
}

fn at(address: impl Into<IpAddr>, port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(address.into(), u16::from_be_bytes(port))
}
