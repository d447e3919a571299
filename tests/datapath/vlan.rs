// SPDX-License-Identifier: MIT OR Apache-2.0
//! VLAN tags over real links, where the kernel keeps the outer one beside the packet: tagged
//! frames pass both programs as they are, though without the tag they would be translated. A tag
//! that names no VLAN changes nothing.

use crate::play::{Cast, cast, done};
use anyhow::{Context as _, Result};
use aya::programs::tc::{self, TcAttachType};
use lb_common::{verdict::Reason, wire::protocol::UDP};
use lb_userspace::datapath::OBJECT;
use std::time::Duration;
use tests::{
    kernel::{Hook, Kernel, Sizes},
    link::PacketSocket,
    netns::{Lab, Namespace},
    observer::Observer,
    packet::{Frame, udp},
    tables::Memory,
    wait,
};

/// From `near` out through the egress program; in at `far` through the ingress program; over a
/// bridge to `seen`.
const LINKS: &str = "\
link add near type veth peer name far
link add out type veth peer name seen
link add bridge type bridge
link set far master bridge
link set out master bridge
link set near up
link set far up
link set out up
link set seen up
link set bridge up
";

#[test]
fn tagged_frames_pass_unchanged() {
    for family in [4, 6] {
        done(pass_tagged(family));
    }
}

#[test]
fn a_tag_of_a_priority_alone_hides_nothing() {
    for family in [4, 6] {
        done(translate_with_priority(family));
    }
}

/// The kernel takes such a tag off and goes on: what is in it must be translated, or would be
/// routed to the Service's address.
fn translate_with_priority(family: u8) -> Result<()> {
    let cast = cast(family);
    let lab = Lab::new("vlan")?;
    let node = lab.namespace("node")?;
    let mut kernel = linked(&node, &cast)?;
    attach(&mut kernel, &node, Hook::Ingress)?;
    let datagram = |pod| udp(cast.client, pod).payload(b"of high priority");
    let tags = [[0x8100, 0], [0x8100, 0xe000], [0x88a8, 0]];
    let tagged = |pod, [tpid, tag]: [u16; 2]| datagram(pod).tagged(tpid, tag);
    let twice = tagged(cast.service, tags[0]).tagged(0x8100, 0);

    let observer = Observer::start(&lab, &node, "seen", "ether src 02:00:00:00:00:01")?;
    let socket = node.run(|| PacketSocket::open("near"))??;
    let to_service = tags.map(|tag| tagged(cast.service, tag));
    for frame in [twice].iter().chain(&to_service) {
        socket.send(&frame.bytes())?;
    }
    wait::until("the last frame to arrive", Duration::from_secs(10), || {
        (kernel.count(Hook::Ingress, Reason::Forwarded).ok()? == 3).then_some(())
    })?;
    let frames = observer.stop()?.frames;
    let expected = tags.map(|tag| tagged(cast.pods[0], tag).bytes());
    assert_eq!(frames, expected);
    assert_eq!(kernel.count(Hook::Ingress, Reason::TaggedTwice)?, 1);
    Ok(())
}

/// The links, and loaded programs that know a Service.
fn linked(node: &Namespace, cast: &Cast) -> Result<Kernel> {
    node.ip(LINKS)?;
    let mut kernel = Kernel::load(OBJECT, Sizes::default())?;
    let mut memory = Memory::default();
    memory.add_backend(1, cast.pods[0], UDP);
    memory.add_service(cast.service, UDP, &[1]);
    kernel.copy_from(&memory)?;
    Ok(kernel)
}

fn pass_tagged(family: u8) -> Result<()> {
    let cast = cast(family);
    let lab = Lab::new("vlan")?;
    let node = lab.namespace("node")?;
    let mut kernel = linked(&node, &cast)?;
    for hook in Hook::TC {
        attach(&mut kernel, &node, hook)?;
    }

    let datagram = |pod| udp(cast.client, pod).payload(b"tagged or not");
    let to_service = datagram(cast.service);
    let tagged = [
        to_service.clone().tagged(0x8100, 5),
        to_service.clone().tagged(0x88a8, 6),
        to_service.clone().tagged(0x88a8, 6).tagged(0x8100, 7),
    ];
    let observer = Observer::start(&lab, &node, "seen", "ether src 02:00:00:00:00:01")?;
    let socket = node.run(|| PacketSocket::open("near"))??;
    for frame in tagged.iter().chain([&to_service]) {
        socket.send(&frame.bytes())?;
    }
    wait::until("the last frame to arrive", Duration::from_secs(10), || {
        (kernel.count(Hook::Ingress, Reason::Forwarded).ok()? == 1).then_some(())
    })?;
    let frames = observer.stop()?.frames;

    let expected: Vec<_> = tagged
        .iter()
        .chain([&datagram(cast.pods[0])])
        .map(Frame::bytes)
        .collect();
    assert_eq!(frames, expected);
    for hook in Hook::TC {
        assert_eq!(kernel.count(hook, Reason::Tagged)?, 3, "{hook:?}");
    }
    Ok(())
}

/// Attaches the ingress program to `far`, the egress program to `near`.
fn attach(kernel: &mut Kernel, node: &Namespace, hook: Hook) -> Result<()> {
    let (link, direction) = match hook {
        Hook::Egress => (c"near", TcAttachType::Egress),
        Hook::Ingress | Hook::Uplink => (c"far", TcAttachType::Ingress),
    };
    let program = kernel.programs.classifier(hook)?;
    // aya looks for the link in the namespace of the thread that attaches.
    let attached = node.run(|| {
        tc::qdisc_add_clsact(link).context("adding clsact")?;
        program.attach(link, direction).context("attaching")
    })?;
    attached.with_context(|| format!("{hook:?} at {link:?}"))?;
    Ok(())
}
