// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services of which each has the next one's address as its only backend, and the packets that go
//! round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::ensure;
use aya::{TestRun as _, TestRunOptions, programs::SchedClassifier};
use lb_common::{verdict::Reason, wire::protocol};
use lb_userspace::datapath::OBJECT;
use tests::{
    kernel::{Hook, Kernel, Sizes},
    packet::{self, Frame},
    tables::Memory,
};

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    V4,
    V6,
}

impl Ip {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// A Service's address.
    pub(crate) fn service(self, number: u32) -> SocketAddr {
        let address: IpAddr = match self {
            Self::V4 => Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 1)) + number).into(),
            Self::V6 => {
                let first = u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 1));
                Ipv6Addr::from(first + u128::from(number)).into()
            }
        };
        SocketAddr::new(address, 80)
    }

    pub(crate) fn client(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::from(([10, 255, 0, 2], 40_000)),
            Self::V6 => SocketAddr::new(
                Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, 2).into(),
                40_000,
            ),
        }
    }

    pub(crate) fn stranger(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::from(([198, 51, 100, 1], 80)),
            Self::V6 => SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1).into(), 80),
        }
    }

    /// A Service that nobody serves.
    pub(crate) fn without_endpoints(self) -> SocketAddr {
        SocketAddr::new(self.service(1 << 17).ip(), 80)
    }

    /// One that admits nobody.
    pub(crate) fn closed(self) -> SocketAddr {
        SocketAddr::new(self.service(1 << 17 | 1).ip(), 80)
    }
}

/// What runs over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
}

/// Sequence numbers of both sides' SYNs, the same in all flows.
const CLIENT: u32 = 1_000;
const BACKEND: u32 = 2_000;

/// What packets carry after that.
const DATA: [u8; 18] = [0; 18];

/// Loaded programs, with the Services in their maps.
pub(super) struct Ring {
    kernel: Kernel,
    services: Memory,
    ip: Ip,
    transport: Transport,
    flows: u32,
    is_open: bool,
}

impl Ring {
    /// So many Services, of which the first `flows` make the ring.
    pub(super) fn new(
        ip: Ip,
        transport: Transport,
        services: u32,
        flows: u32,
    ) -> anyhow::Result<Self> {
        let sizes = Sizes {
            // A hash that is full to the last element would show a clash's cost, not a flow's.
            flows: 2 * flows,
            // An LRU map keeps some hundreds of its elements for each processor.
            half_open: 2 * flows + 4_096,
            frontends: 2 * services,
            backends: services + 1,
            ..Sizes::default()
        };
        let mut kernel = Kernel::load_in_real_time(OBJECT, sizes)?;
        let mut memory = Memory::default();
        for number in 0..services {
            let next = if number + 1 == flows { 0 } else { number + 1 };
            let id = number + 1;
            memory.add_backend(id, ip.service(next), transport.number());
            memory.add_service(ip.service(number), transport.number(), &[id]);
        }
        kernel.copy_from(&memory)?;
        Ok(Self {
            kernel,
            services: memory,
            ip,
            transport,
            flows,
            is_open: false,
        })
    }

    /// A program of ours.
    pub(super) fn program(&mut self, hook: Hook) -> anyhow::Result<&mut SchedClassifier> {
        self.kernel.programs.classifier(hook)
    }

    /// No flow is known any more.
    pub(super) fn forget(&mut self) -> anyhow::Result<()> {
        self.is_open = false;
        self.kernel.copy_flows(&self.services)
    }

    /// Every flow is open, by packets of both sides.
    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        if self.is_open {
            return Ok(());
        }
        self.forget()?;
        let answer = match self.transport {
            Transport::Tcp => {
                let answer = self.backward().syn_ack().numbers(BACKEND, CLIENT + 1);
                answer.bytes()
            }
            Transport::Udp => self.reply(),
        };
        for (hook, frame) in [
            (Hook::Ingress, self.first()),
            (Hook::Egress, answer),
            (Hook::Ingress, self.later()),
        ] {
            let flows = self.flows;
            self.program(hook)?.test_run(TestRunOptions {
                data_in: Some(&frame),
                repeat: flows,
                ..TestRunOptions::default()
            })?;
        }
        let established = match self.ip {
            Ip::V4 => self.kernel.v4.established(),
            Ip::V6 => self.kernel.v6.established(),
        };
        ensure!(
            established == usize::try_from(self.flows)?,
            "{established} of {} flows are open",
            self.flows
        );
        self.is_open = true;
        Ok(())
    }

    /// Fails where packets have ended otherwise than a ring's do: the time is another thing's then.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for hook in Hook::TC {
            for &reason in Reason::ALL {
                let is_ours = matches!(
                    reason,
                    Reason::Forwarded | Reason::Replied | Reason::NotIp | Reason::NotService
                );
                let count = self.kernel.count(hook, reason)?;
                ensure!(is_ours || count == 0, "{count} packets ended as {reason:?}");
            }
        }
        Ok(())
    }

    /// ARP, with nothing in it.
    pub(super) fn not_ip(&self) -> Vec<u8> {
        self.forward().claims_ether_type(0x0806).bytes()
    }

    /// To an address that no Service has.
    pub(super) fn no_service(&self) -> Vec<u8> {
        self.frame(self.ip.client(), self.ip.stranger()).bytes()
    }

    /// What opens a flow.
    pub(super) fn first(&self) -> Vec<u8> {
        match self.transport {
            Transport::Tcp => self.forward().syn().numbers(CLIENT, 0).bytes(),
            Transport::Udp => self.forward().bytes(),
        }
    }

    /// What comes later.
    pub(super) fn later(&self) -> Vec<u8> {
        match self.transport {
            Transport::Tcp => {
                let later = self.forward().ack().numbers(CLIENT + 1, BACKEND + 1);
                later.payload(&DATA).bytes()
            }
            Transport::Udp => self.forward().bytes(),
        }
    }

    /// What a backend answers.
    pub(super) fn reply(&self) -> Vec<u8> {
        match self.transport {
            Transport::Tcp => {
                let reply = self.backward().ack().numbers(BACKEND + 1, CLIENT + 1);
                reply.payload(&DATA).bytes()
            }
            Transport::Udp => self.backward().bytes(),
        }
    }

    fn forward(&self) -> Frame {
        self.frame(self.ip.client(), self.ip.service(0))
    }

    fn backward(&self) -> Frame {
        self.frame(self.ip.service(0), self.ip.client())
    }

    fn frame(&self, from: SocketAddr, to: SocketAddr) -> Frame {
        match self.transport {
            Transport::Tcp => packet::tcp(from, to),
            Transport::Udp => packet::udp(from, to).payload(&DATA),
        }
    }
}
