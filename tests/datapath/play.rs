// SPDX-License-Identifier: MIT OR Apache-2.0
//! How rows are written: a cast of addresses, and what a packet becomes.
//!
//! A row runs four times from one source: for both families, on the host and in the kernel.

use crate::twin::Twin;
use anyhow::Result;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use lb_common::{
    verdict::{Reason, Verdict},
    wire::{BackendState, Range, Refusals, Takeover},
};
use lb_userspace::{datapath::OBJECT, dns::zone::Zone};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{LazyLock, Mutex, PoisonError},
};
use tests::{
    kernel::{Hook, Sizes},
    names::answer_at,
    packet::{
        Frame,
        sums::{Sum, spoilt, sums},
    },
};

/// Who takes part, in one family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    /// A pod that dials.
    pub(crate) client: SocketAddr,
    /// What it dials.
    pub(crate) service: SocketAddr,
    /// Another Service.
    pub(crate) other: SocketAddr,
    /// A host that is neither Service nor backend.
    pub(crate) stranger: SocketAddr,
    /// Pods that serve.
    pub(crate) pods: [SocketAddr; 3],
}

/// One row's stage.
pub(crate) struct Play<'a> {
    /// The addresses to use.
    pub(crate) cast: Cast,
    /// Both packet paths and their tables.
    pub(crate) twin: &'a mut Twin,
}

/// What became of one frame.
pub(crate) struct End {
    before: Vec<u8>,
    after: Vec<u8>,
    reason: Option<Reason>,
}

/// Plays a row for both families, each from empty tables.
pub(crate) fn play(row: impl Fn(&mut Play<'_>)) {
    // One load serves all rows: the verifier takes longer than they do.
    static TWIN: LazyLock<Mutex<Twin>> = LazyLock::new(|| {
        let twin = Twin::load(OBJECT, Sizes::default());
        Mutex::new(twin.unwrap_or_else(|error| panic!("{error:#}")))
    });
    let mut twin = TWIN.lock().unwrap_or_else(PoisonError::into_inner);
    for cast in [cast(4), cast(6)] {
        done(twin.reset());
        row(&mut Play {
            cast,
            twin: &mut twin,
        });
        done(twin.compare_counters());
    }
}

/// The cast of a family, 4 or 6.
pub(crate) fn cast(family: u8) -> Cast {
    let at = |v4: &str, v6: &str, port: u16| {
        let address: IpAddr = if family == 4 { v4.parse() } else { v6.parse() }.expect("valid");
        SocketAddr::new(address, port)
    };
    Cast {
        client: at("10.1.0.9", "fd00:1::9", 40_000),
        service: at("10.96.0.1", "fd00:96::1", 80),
        other: at("10.96.0.2", "fd00:96::2", 81),
        stranger: at("192.0.2.7", "2001:db8::7", 7),
        pods: [
            at("10.1.0.1", "fd00:1::1", 8080),
            at("10.1.0.2", "fd00:1::2", 8081),
            at("10.1.0.3", "fd00:1::3", 8080),
        ],
    }
}

#[track_caller]
pub(crate) fn done<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}

impl Play<'_> {
    /// Lets a frontend lead to these pods, each an active backend.
    pub(crate) fn service(&mut self, at: SocketAddr, protocol: u8, pods: &[SocketAddr]) {
        let ids: Vec<u32> = pods
            .iter()
            .map(|pod| self.backend(*pod, protocol))
            .collect();
        self.twin.memory.add_service(at, protocol, &ids);
        done(self.twin.copy());
    }

    /// Gives clients from outside an entry of their own.
    pub(crate) fn outside(&mut self, at: SocketAddr, protocol: u8, pods: &[SocketAddr]) {
        let ids = pods.iter().map(|pod| self.backend(*pod, protocol));
        let ids: Vec<u32> = ids.collect();
        self.twin.memory.add_outside(at, protocol, &ids);
        done(self.twin.copy());
    }

    /// Halves of masquerades of this family.
    pub(crate) fn masks(&self) -> usize {
        let memory = &self.twin.memory;
        if self.cast.client.is_ipv4() {
            memory.v4.masks.len()
        } else {
            memory.v6.masks.len()
        }
    }

    /// Lets the kernel answer questions for names at a frontend, under a lease of 30 s.
    pub(crate) fn names(&mut self, zone: &Zone, at: SocketAddr) {
        answer_at(&mut self.twin.memory, zone, at);
        done(self.twin.copy());
    }

    /// Gives the kernel the tables as the row has changed them.
    pub(crate) fn copy(&mut self) {
        done(self.twin.copy());
    }

    /// Sets a frontend's session affinity time-out, in seconds; 0 = none.
    pub(crate) fn affinity(&mut self, at: SocketAddr, protocol: u8, seconds: u32) {
        self.twin.memory.set_affinity(at, protocol, seconds);
        done(self.twin.copy());
    }

    /// Affinities of this family.
    pub(crate) fn affinities(&self) -> usize {
        let memory = &self.twin.memory;
        if self.cast.client.is_ipv4() {
            memory.v4.affinities.len()
        } else {
            memory.v6.affinities.len()
        }
    }

    /// Says how far we have taken over.
    pub(crate) fn takeover(&mut self, takeover: Takeover) {
        self.twin.memory.node.takeover = takeover.number();
        done(self.twin.copy());
    }

    /// Flows of this family that are conntrack's.
    pub(crate) fn foreigns(&self) -> usize {
        let memory = &self.twin.memory;
        if self.cast.client.is_ipv4() {
            memory.v4.foreigns.len()
        } else {
            memory.v6.foreigns.len()
        }
    }

    /// Takes a frontend away.
    pub(crate) fn remove_service(&mut self, at: SocketAddr, protocol: u8) {
        self.twin.memory.remove_service(at, protocol);
        done(self.twin.copy());
    }

    /// Puts a pod's backend into another state.
    pub(crate) fn state(&mut self, pod: SocketAddr, protocol: u8, state: BackendState) {
        let id = self.backend(pod, protocol);
        self.twin.memory.set_backend(id, state);
        done(self.twin.copy());
    }

    /// Frees a pod's backend and gives its id to another pod.
    pub(crate) fn replace(&mut self, pod: SocketAddr, by: SocketAddr, protocol: u8) {
        let id = self.backend(pod, protocol);
        self.twin.memory.add_backend(id, by, protocol);
        done(self.twin.copy());
    }

    /// Writes the entries of Services' addresses.
    pub(crate) fn addresses(&mut self, addresses: &[SocketAddr]) {
        for address in addresses {
            self.twin.memory.add_address(address.ip());
        }
        done(self.twin.copy());
    }

    /// Gives a frontend these flags.
    pub(crate) fn flags(&mut self, at: SocketAddr, protocol: u8, flags: u32) {
        self.twin.memory.set_flags(at, protocol, flags);
        done(self.twin.copy());
    }

    /// Where Services' addresses come from.
    pub(crate) fn ranges(&mut self, ranges: [Range; 2]) {
        self.twin.memory.ranges = ranges;
        done(self.twin.copy());
    }

    /// What the node does with packets that no backend gets.
    pub(crate) fn refusals(&mut self, refusals: Refusals) {
        self.twin.memory.node.refusals = refusals;
        done(self.twin.copy());
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.wait_ns(seconds * 1_000_000_000);
    }

    /// Lets a little time pass.
    pub(crate) fn wait_ns(&mut self, nanoseconds: u64) {
        let now_ns = self.twin.memory.now_ns + nanoseconds;
        done(self.twin.set_clock(now_ns));
    }

    /// Sweeps away what is over.
    #[track_caller]
    pub(crate) fn sweep(&mut self) {
        done(self.twin.sweep());
    }

    /// A packet comes in from the client's side.
    #[track_caller]
    pub(crate) fn ingress(&mut self, frame: &Frame) -> End {
        self.run(Hook::Ingress, frame.bytes())
    }

    /// A packet comes in by an uplink, before there is an skb.
    #[track_caller]
    pub(crate) fn early(&mut self, frame: &Frame) -> End {
        self.run(Hook::Uplink, frame.bytes())
    }

    /// A frame comes in that no description makes.
    #[track_caller]
    pub(crate) fn ingress_bytes(&mut self, frame: &[u8]) -> End {
        self.run(Hook::Ingress, frame.to_vec())
    }

    /// A packet goes out to the client's side.
    #[track_caller]
    pub(crate) fn egress(&mut self, frame: &Frame) -> End {
        self.run(Hook::Egress, frame.bytes())
    }

    /// Flows of this family: half-open ones, and all others. Each has its reverse entry.
    pub(crate) fn flows(&self) -> [usize; 2] {
        let memory = &self.twin.memory;
        let [half_open, established] = if self.cast.client.is_ipv4() {
            let flows = &memory.v4.flows;
            [&flows.half_open, &flows.established]
                .map(|pair| [pair.flows.len(), pair.reverse.len()])
        } else {
            let flows = &memory.v6.flows;
            [&flows.half_open, &flows.established]
                .map(|pair| [pair.flows.len(), pair.reverse.len()])
        };
        [half_open, established].map(|[flows, reverse]| {
            assert_eq!(flows, reverse, "each flow has its reverse entry");
            flows
        })
    }

    #[track_caller]
    fn run(&mut self, hook: Hook, before: Vec<u8>) -> End {
        let outcome = done(self.twin.run(hook, &before));
        let end = End {
            before,
            after: outcome.frame,
            reason: outcome.reason,
        };
        end.checksums_stay_right();
        end
    }

    fn backend(&mut self, pod: SocketAddr, protocol: u8) -> u32 {
        let backends = &self.twin.memory.backends;
        let known = backends.iter().find(|(_, backend)| {
            backend.protocol == protocol && lb_userspace::maps::backend_address(backend) == pod
        });
        if let Some((id, _)) = known {
            return *id;
        }
        let id = backends.keys().next_back().map_or(1, |last| last + 1);
        self.twin.memory.add_backend(id, pod, protocol);
        id
    }
}

impl End {
    /// It ended for this reason, and is now this frame.
    #[track_caller]
    pub(crate) fn becomes(self, reason: Reason, frame: &Frame) {
        assert_eq!(self.reason, Some(reason));
        assert_eq!(self.after, frame.bytes(), "{reason:?}");
    }

    /// It ended for this reason, and has become this answer.
    #[track_caller]
    pub(crate) fn answers(self, reason: Reason, frame: &[u8]) {
        assert_eq!(self.reason, Some(reason));
        assert_eq!(self.after, frame, "{reason:?}");
    }

    /// Whether it ended for this reason.
    pub(crate) fn is(&self, reason: Reason) -> bool {
        self.reason == Some(reason)
    }

    /// It ended for this reason, and no byte of it has changed.
    #[track_caller]
    pub(crate) fn stays(self, reason: Reason) {
        assert_eq!(self.reason, Some(reason));
        assert_eq!(self.after, self.before, "{reason:?}");
    }

    /// It ended for this reason, or the kernel's test run took no such frame, and no byte of it
    /// has changed.
    #[track_caller]
    pub(crate) fn stays_or_is_refused(self, reason: Reason) {
        assert_eq!(self.reason.unwrap_or(reason), reason);
        assert_eq!(self.after, self.before, "{reason:?}");
    }

    /// It goes on as it came.
    #[track_caller]
    pub(crate) fn passes(self) {
        assert_eq!(self.reason.map(Reason::verdict), Some(Verdict::Pass));
        assert_eq!(self.after, self.before);
    }

    /// It ended for this reason, whatever it is now.
    #[track_caller]
    pub(crate) fn ends_as(self, reason: Reason) {
        assert_eq!(self.reason, Some(reason));
    }

    /// Who sends it now, and to whom.
    #[track_caller]
    pub(crate) fn ends(&self, reason: Reason) -> [SocketAddr; 2] {
        assert_eq!(self.reason, Some(reason));
        ends_of(&self.after).expect("a whole packet")
    }

    fn is_answered(&self) -> bool {
        let verdict = self.reason.map(Reason::verdict);
        verdict == Some(Verdict::Answer)
    }

    #[track_caller]
    fn checksums_stay_right(&self) {
        if self.is_answered() {
            // What it was says nothing of what it has become, which must be right.
            let after = sums(&self.after);
            assert_ne!(after.header, Sum::Wrong);
            assert!(matches!(after.transport, Sum::Right), "{after:?}");
            return;
        }
        let spoilt = spoilt(&self.before, &self.after);
        assert!(spoilt.is_none(), "checksums before and after: {spoilt:?}");
    }
}

/// Source and destination of a frame, if it is a whole one of TCP or UDP.
pub(crate) fn ends_of(frame: &[u8]) -> Option<[SocketAddr; 2]> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let ports = match packet.transport? {
        TransportSlice::Tcp(tcp) => [tcp.source_port(), tcp.destination_port()],
        TransportSlice::Udp(udp) => [udp.source_port(), udp.destination_port()],
        _ => return None,
    };
    let addresses: [IpAddr; 2] = match packet.net? {
        NetSlice::Ipv4(ip) => [
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ],
        NetSlice::Ipv6(ip) => [
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ],
        NetSlice::Arp(_) => return None,
    };
    Some([0, 1].map(|end| SocketAddr::new(addresses[end], ports[end])))
}
