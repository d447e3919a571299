// SPDX-License-Identifier: MIT OR Apache-2.0
//! What another processor does in the middle of a packet's passage. On the host alone, where the
//! stages can be called one by one.

use crate::play::done;
use anyhow::{Result, ensure};
use lb_common::{
    conntrack::{Choice, Target, open},
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    tables::Tables,
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
