// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory behaves as the kernel's tables do.

use super::{Memory, fill::tuple};
use lb_common::{
    family::V4,
    tables::{InsertError, Side, Stage, Tables, Torn, Touch},
    wire::{BackendState, Flow, FrontendKey, Tuple, fingerprint, protocol},
};

fn key(port: u16) -> Tuple<[u8; 4]> {
    let client = ([10, 1, 0, 9], port).into();
    tuple::<V4>(client, ([10, 96, 0, 1], 80).into(), protocol::TCP)
}

fn flow(port: u16, expires_ns: u64) -> Flow {
    Flow {
        identity: fingerprint(&key(port)),
        expires_ns,
        ..Flow::default()
    }
}

fn insert(memory: &mut Memory, stage: Stage, port: u16, expires: u64) -> Result<(), InsertError> {
    Tables::<V4>::insert_flow(memory, stage, &key(port), &flow(port, expires))
}

fn ports(memory: &Memory, stage: Stage) -> Vec<u16> {
    let flows = &memory.v4.flows.stage(stage).flows;
    flows
        .keys()
        .map(|key| u16::from_be_bytes(key.source_port))
        .collect()
}

#[test]
fn an_insert_replaces_nothing() {
    let mut memory = Memory::default();
    assert_eq!(insert(&mut memory, Stage::Established, 1, 5), Ok(()));
    assert_eq!(
        insert(&mut memory, Stage::Established, 1, 6),
        Err(InsertError::Taken)
    );
    assert_eq!(memory.v4.flows.established.flows[&key(1)].expires_ns, 5);
}

#[test]
fn only_the_half_open_table_gives_way() {
    let mut memory = Memory {
        flow_capacity: 2,
        half_open_capacity: 2,
        ..Memory::default()
    };
    for (stage, third, left) in [
        (Stage::Established, Err(InsertError::Full), [1, 2]),
        (Stage::HalfOpen, Ok(()), [1, 3]),
    ] {
        assert_eq!(insert(&mut memory, stage, 1, 9), Ok(()));
        assert_eq!(insert(&mut memory, stage, 2, 5), Ok(()));
        assert_eq!(insert(&mut memory, stage, 3, 7), third);
        assert_eq!(ports(&memory, stage), left);
    }
}

#[test]
fn a_touch_writes_the_words_of_one_side() {
    let mut memory = Memory::default();
    insert(&mut memory, Stage::HalfOpen, 1, 5).expect("there is room");
    let mut flow = Flow::default();
    let found = Tables::<V4>::flow(&memory, Stage::HalfOpen, &key(1), &mut flow);
    let place = found.expect("it is whole").expect("it was inserted");
    let touch = Touch {
        seen: 3,
        progress: 7,
        expires_ns: 8,
        pad: 0,
    };
    Tables::<V4>::touch(
        &mut memory,
        Stage::HalfOpen,
        place,
        &flow,
        Side::Backend,
        &touch,
    );
    let touched = Flow {
        expires_ns: 8,
        backend_seen: 3,
        backend_progress: 7,
        ..flow
    };
    assert_eq!(memory.v4.flows.half_open.flows[&key(1)], touched);
}

#[test]
fn a_value_of_another_key_is_torn() {
    let mut memory = Memory::default();
    let at = ([10, 96, 0, 1], 80).into();
    memory.add_backend(1, ([10, 1, 0, 1], 8080).into(), protocol::TCP);
    memory.add_service(at, protocol::TCP, &[1]);
    let key = FrontendKey {
        address: [10, 96, 0, 1],
        port: [0, 80],
        protocol: 6,
        scope: 0,
    };
    let service = Tables::<V4>::service(&memory, &key)
        .expect("it is whole")
        .expect("it is there");
    assert_eq!(
        Tables::<V4>::slot(&memory, service.first_chunk, 127),
        Some(1)
    );

    memory
        .v4
        .frontends
        .get_mut(&key)
        .expect("it is there")
        .version_end += 1;
    assert_eq!(Tables::<V4>::service(&memory, &key), Err(Torn));
    memory.backends.get_mut(&1).expect("it is there").id = 2;
    assert_eq!(Tables::<V4>::backend(&memory, 1), Err(Torn));
}

#[test]
fn a_free_backend_is_none() {
    let mut memory = Memory::default();
    memory.add_backend(1, ([10, 1, 0, 1], 8080).into(), protocol::TCP);
    memory.set_backend(1, BackendState::Free);
    assert_eq!(Tables::<V4>::backend(&memory, 1), Ok(None));
    assert_eq!(Tables::<V4>::backend(&memory, 2), Ok(None));
}
