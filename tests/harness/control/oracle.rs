// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the maps of a world should be: the objects of an API server, told in one go to an agent
//! that nothing fails.

use std::sync::Arc;

use lb_userspace::{
    maps::{faulty::Faulty, memory::Memory},
    model::{Change, Kind},
    reconcile::Settings,
    watch::convert,
};
use serde::de::DeserializeOwned;

use super::{AMPLE, Agent};
use crate::api_server::{ApiServer, Resource};

/// The maps of what the server holds now.
pub fn maps_of(server: &ApiServer, settings: Settings) -> anyhow::Result<Memory> {
    let kinds = [Kind::Service, Kind::EndpointSlice, Kind::Node];
    let ignored = &mut Vec::new();
    let mut changes: Vec<_> = kinds.map(Change::Listing).into();
    for object in objects(server, Resource::Services)? {
        let object = convert::service(&object, ignored);
        changes.extend(object.map(Arc::new).map(Change::Service));
    }
    for object in objects(server, Resource::EndpointSlices)? {
        let object = convert::slice(&object, ignored);
        changes.extend(object.map(Arc::new).map(Change::Slice));
    }
    for object in objects(server, Resource::Nodes)? {
        let object = convert::node(&object, ignored);
        changes.extend(object.map(Arc::new).map(Change::Node));
    }
    changes.extend(kinds.map(Change::Listed));
    let mut agent = Agent::start(Faulty::new(Memory::new(AMPLE), 0, 0), settings)?;
    agent.note(changes);
    agent.settle()?;
    Ok(agent.store.store)
}

fn objects<K: DeserializeOwned>(server: &ApiServer, of: Resource) -> anyhow::Result<Vec<K>> {
    let objects = server.objects(of).into_iter();
    let objects = objects.map(serde_json::from_value);
    Ok(objects.collect::<Result<_, _>>()?)
}
