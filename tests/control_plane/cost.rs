// SPDX-License-Identifier: MIT OR Apache-2.0
//! One change costs its own Service, not the cluster.

use std::{net::IpAddr, sync::Arc, time::Instant};

use anyhow::ensure;
use lb_common::wire::Node;
use lb_userspace::{
    maps::{Capacity, memory::Memory},
    model::{Change, EndpointSlice, Kind, Name, ServiceObject},
    reconcile::{Reconciler, Settings},
};
use tests::{
    control::{journal::Journal, objects},
    figures,
};

const ENDPOINTS: u16 = 10;

#[test]
fn of_one_change_is_its_own_service() {
    figures::check("change-cost", |run| {
        let (few, _, _) = cost(10)?;
        let (many, cold, change_us) = cost(u16::try_from(run.size)?)?;
        ensure!(
            few == many,
            "{few} calls among 10 Services, {many} among {}",
            run.size
        );
        Ok(vec![
            ("map calls", many.into()),
            ("cold sync in ms", cold.into()),
            ("change in us", change_us.into()),
        ])
    });
}

/// Map calls of one endpoint's going among so many Services; the time of the first round in
/// milliseconds and of the change in microseconds.
fn cost(services: u16) -> anyhow::Result<(u64, u64, u64)> {
    let capacity = Capacity {
        frontends: 16_384,
        backends: 262_144,
        chunks: 131_072,
    };
    let settings = Settings::new("node-a", Node::default());
    let mut store = Journal::new(Memory::new(capacity));
    let mut reconciler = Reconciler::restore(&store, &settings)?;
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Node] {
        reconciler.note(Change::Listing(kind));
    }
    for index in 0..services {
        reconciler.note(Change::Service(Arc::new(service(index))));
        reconciler.note(Change::Slice(Arc::new(slice(index, ENDPOINTS))));
    }
    for kind in [Kind::Service, Kind::EndpointSlice, Kind::Node] {
        reconciler.note(Change::Listed(kind));
    }
    let start = Instant::now();
    reconciler.sync(&mut store, 1);
    let cold = start.elapsed().as_millis();
    ensure!(reconciler.report().services_programmed == usize::from(services));

    store.calls = 0;
    let start = Instant::now();
    reconciler.note(Change::Slice(Arc::new(slice(services / 2, ENDPOINTS - 1))));
    reconciler.sync(&mut store, 2);
    let change = start.elapsed().as_micros();
    Ok((store.calls, u64::try_from(cold)?, u64::try_from(change)?))
}

fn service(index: u16) -> ServiceObject {
    let [a, b] = index.to_be_bytes();
    objects::service(name(index), IpAddr::from([10, 96, a, b]))
}

fn slice(index: u16, endpoints: u16) -> EndpointSlice {
    let [a, b] = index.to_be_bytes();
    let address = |number: u16| [10, a.wrapping_add(100), b, number.to_be_bytes()[1]];
    let endpoints = (1..=endpoints).map(|number| objects::endpoint(address(number).into()));
    objects::slice(name(index), &name(index).name, endpoints.collect())
}

fn name(index: u16) -> Name {
    Name::new("default", &format!("service-{index}"))
}
