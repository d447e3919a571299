// SPDX-License-Identifier: MIT OR Apache-2.0
//! What another processor does in the middle of a packet's passage. On the host alone, where the
//! stages can be called one by one.

use crate::play::done;
use anyhow::{Result, ensure};
use lb_common::{
    affinity,
    conntrack::{self, Choice, Swept, Target, forget, open, seen},
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    service::Destination,
    tables::{Stage, Tables},
    verdict::Reason,
    wire::{
        Timeouts, Tuple,
        protocol::{TCP, UDP},
    },
};
use tests::tables::{Holds, Memory};

/// A row for both families and protocols.
fn race(
    v4: impl Fn(&mut Memory, &mut Frame<[u8; 4]>, u8) -> Result<()>,
    v6: impl Fn(&mut Memory, &mut Frame<[u8; 16]>, u8) -> Result<()>,
) {
    for protocol in [TCP, UDP] {
        let Frames {
            mut narrow,
            mut wide,
            ..
        } = Frames::new();
        done(v4(&mut Memory::default(), &mut narrow, protocol));
        done(v6(&mut Memory::default(), &mut wide, protocol));
    }
}

/// Opens a flow of one client to a port of a Service, with this backend.
fn begin<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
    service_port: u8,
    backend: u8,
) -> Result<(), Reason>
where
    Memory: Tables<F>,
{
    let address = |last: u8| F::narrow([last; 16]);
    frame.datagram.tuple = Tuple {
        source: address(1),
        destination: address(2),
        source_port: [200, 1],
        destination_port: [0, service_port],
        protocol,
        pad: [0; 3],
    };
    frame.target = Target {
        address: F::widen(address(backend)),
        port: [31, 144],
        client_port: [200, 1],
    };
    frame.choice = Choice {
        epoch: u64::from(backend),
        backend: u32::from(backend),
        service_id: 7,
    };
    open(memory, frame, &Timeouts::default())
}

fn flows<F: Family>(memory: &Memory) -> [usize; 2]
where
    Memory: Holds<F>,
{
    let flows = &memory.entries().flows;
    let pairs = [&flows.half_open, &flows.established];
    [
        pairs.iter().map(|pair| pair.flows.len()).sum(),
        pairs.iter().map(|pair| pair.reverse.len()).sum(),
    ]
}

fn opened_twice<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    let first = begin::<F>(memory, frame, protocol, 80, 10);
    ensure!(first == Ok(()), "{first:?}");
    let theirs = frame.target;
    // Whoever comes second has chosen another backend, and looked before the first one was done.
    let second = begin::<F>(memory, frame, protocol, 80, 11);
    ensure!(second == Ok(()), "{second:?}");
    ensure!(frame.target == theirs, "the packet goes elsewhere");
    let Choice { epoch, backend, .. } = frame.choice;
    ensure!(
        (epoch, backend) == (10, 10),
        "the client is pinned to {backend}"
    );
    ensure!(flows::<F>(memory) == [1, 1]);
    Ok(())
}

#[test]
fn a_flow_that_two_processors_open_is_the_firsts() {
    race(opened_twice::<V4>, opened_twice::<V6>);
}

fn begun_anew<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    let first = begin::<F>(memory, frame, protocol, 80, 10);
    ensure!(first == Ok(()), "{first:?}");
    let over = frame.flow;
    // Both find it over, and one is done with all before the other one has made room.
    ensure!(forget(memory, frame, Stage::HalfOpen) == Ok(()));
    ensure!(flows::<F>(memory) == [0, 0]);
    memory.now_ns += 1;
    let second = begin::<F>(memory, frame, protocol, 80, 10);
    ensure!(second == Ok(()), "{second:?}");
    frame.flow = over;
    ensure!(forget(memory, frame, Stage::HalfOpen) == Ok(()));
    ensure!(flows::<F>(memory) == [1, 1], "the new one is gone");
    Ok(())
}

#[test]
fn a_flow_that_another_has_begun_anew_is_not_forgotten() {
    race(begun_anew::<V4>, begun_anew::<V6>);
}

fn reply_taken<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    let first = begin::<F>(memory, frame, protocol, 80, 10);
    ensure!(first == Ok(()), "{first:?}");
    // Its replies would look like the first one's: nothing of it may stay.
    let second = begin::<F>(memory, frame, protocol, 81, 10);
    ensure!(second == Err(Reason::Raced), "{second:?}");
    ensure!(flows::<F>(memory) == [1, 1]);
    Ok(())
}

#[test]
fn a_flow_whose_replies_another_has_taken_meanwhile_is_undone() {
    race(reply_taken::<V4>, reply_taken::<V6>);
}

/// A flow that is half open no longer, and so has an entry in the queue.
fn established<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
    service_port: u8,
) -> Result<()>
where
    Memory: Tables<F>,
{
    let first = begin::<F>(memory, frame, protocol, service_port, 10);
    ensure!(first == Ok(()), "{first:?}");
    let moved = promote::<F>(memory, frame);
    ensure!(moved == Ok(()), "{moved:?}");
    Ok(())
}

fn promote<F: Family>(memory: &mut Memory, frame: &mut Frame<F::Address>) -> Result<(), Reason>
where
    Memory: Tables<F>,
{
    frame.touch.seen = frame.flow.client_seen | seen::ACK;
    frame.touch.expires_ns = frame.flow.expires_ns;
    conntrack::promote(memory, frame)
}

fn way_back_taken<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    let first = begin::<F>(memory, frame, protocol, 80, 10);
    ensure!(first == Ok(()), "{first:?}");
    let (tuple, flow) = (frame.datagram.tuple, frame.flow);
    // The kernel has dropped its reverse entry to make room, and another flow takes that.
    memory.entries_mut().flows.half_open.reverse.clear();
    established::<F>(memory, frame, protocol, 81)?;
    (frame.datagram.tuple, frame.flow) = (tuple, flow);
    let moved = promote::<F>(memory, frame);
    ensure!(moved == Err(Reason::Raced), "{moved:?}");
    ensure!(
        flows::<F>(memory) == [1, 1],
        "its next packet must begin anew"
    );
    Ok(())
}

#[test]
fn a_flow_whose_way_back_another_has_taken_begins_anew() {
    race(way_back_taken::<V4>, way_back_taken::<V6>);
}

/// The queue was full when the sweep put an entry back, of a flow that lives.
fn ended_by_the_sweep<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    established::<F>(memory, frame, protocol, 80)?;
    let entry = frame.expiry;
    // Another flow has its place by now: that one has an entry of its own.
    frame.expiry.born_ns = [0xff; 8];
    conntrack::end(memory, frame);
    ensure!(flows::<F>(memory) == [1, 1]);
    frame.expiry = entry;
    conntrack::end(memory, frame);
    ensure!(flows::<F>(memory) == [0, 0]);
    conntrack::end(memory, frame);
    Ok(())
}

#[test]
fn a_flow_whose_entry_finds_no_place_ends_and_no_other() {
    race(ended_by_the_sweep::<V4>, ended_by_the_sweep::<V6>);
}

/// Both sides' last segments have met, and the time says that the flow is half closed.
fn over_before_its_time<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    if protocol != TCP {
        return Ok(());
    }
    established::<F>(memory, frame, protocol, 80)?;
    let timeouts = Timeouts::default();
    let later_ns = memory.now_ns + timeouts.close_wait_ns;
    for flow in memory.entries_mut().flows.established.flows.values_mut() {
        flow.client_seen |= seen::FIN;
        flow.backend_seen |= seen::FIN;
        flow.expires_ns = later_ns;
    }
    ensure!(conntrack::sweep(memory, frame) == Swept::Alive);
    memory.now_ns += timeouts.tombstone_ns;
    ensure!(conntrack::sweep(memory, frame) == Swept::Gone);
    ensure!(flows::<F>(memory) == [0, 0]);
    Ok(())
}

#[test]
fn a_flow_whose_ends_have_crossed_goes_as_any_other() {
    race(over_before_its_time::<V4>, over_before_its_time::<V6>);
}

/// Two flows of a client that two processors begin, before either has pinned it.
fn pinned_twice<F: Family>(
    memory: &mut Memory,
    frame: &mut Frame<F::Address>,
    protocol: u8,
) -> Result<()>
where
    Memory: Tables<F> + Holds<F>,
{
    frame.destination = Destination {
        service_id: 7,
        first_chunk: 0,
        slot_count: 1,
        flags: 0,
        affinity_s: 100,
    };
    let begun = begin::<F>(memory, frame, protocol, 80, 10);
    ensure!(begun == Ok(()), "{begun:?}");
    let known = affinity::find(memory, frame);
    ensure!(known == Ok(false), "{known:?}");
    ensure!(affinity::pin(memory, frame) == Reason::Forwarded);
    let entry = frame.expiry;
    // The other one had looked before, too.
    frame.affinity.born_ns = 0;
    frame.choice.backend = 11;
    ensure!(affinity::pin(memory, frame) == Reason::Forwarded);
    let pinned: Vec<u32> = memory
        .entries()
        .affinities
        .values()
        .map(|affinity| affinity.backend)
        .collect();
    ensure!(pinned == [10], "pinned to {pinned:?}");
    // It ends with its own entry alone.
    frame.expiry.born_ns = [0xff; 8];
    conntrack::end(memory, frame);
    ensure!(memory.entries().affinities.len() == 1);
    frame.expiry = entry;
    conntrack::end(memory, frame);
    ensure!(memory.entries().affinities.is_empty());
    conntrack::end(memory, frame);
    Ok(())
}

#[test]
fn a_client_that_two_processors_pin_is_the_firsts() {
    race(pinned_twice::<V4>, pinned_twice::<V6>);
}
