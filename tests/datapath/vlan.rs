// SPDX-License-Identifier: MIT OR Apache-2.0
//! VLAN tags over real links, where the kernel keeps the outer one beside the packet: tagged
//! frames pass both programs as they are, though without the tag they would be translated.

use crate::play::{cast, done};
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

fn pass_tagged(family: u8) -> Result<()> {
    let cast = cast(family);
    let lab = Lab::new("vlan")?;
    let node = lab.namespace("node")?;
    node.ip(LINKS)?;
    let mut kernel = Kernel::load(OBJECT, Sizes::default())?;
    let mut memory = Memory::default();
    memory.add_backend(1, cast.pods[0], UDP);
    memory.add_service(cast.service, UDP, &[1]);
    kernel.copy_from(&memory)?;
    attach(&mut kernel, &node)?;

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
    for hook in Hook::ALL {
        assert_eq!(kernel.count(hook, Reason::Tagged)?, 3, "{hook:?}");
    }
    Ok(())
}

/// Attaches the ingress program to `far` and the egress program to `near`.
fn attach(kernel: &mut Kernel, node: &Namespace) -> Result<()> {
    for (hook, link, direction) in [
        (Hook::Egress, c"near", TcAttachType::Egress),
        (Hook::Ingress, c"far", TcAttachType::Ingress),
    ] {
        let program = kernel.programs.classifier(hook)?;
        // aya looks for the link in the namespace of the thread that attaches.
        let attached = node.run(|| {
            tc::qdisc_add_clsact(link).context("adding clsact")?;
            program.attach(link, direction).context("attaching")
        })?;
        attached.with_context(|| format!("{hook:?} at {link:?}"))?;
    }
    Ok(())
}
