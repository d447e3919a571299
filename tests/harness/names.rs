// SPDX-License-Identifier: MIT OR Apache-2.0
//! A zone of names, and queries about them byte by byte.

pub mod agreement;

use crate::tables::Memory;
use lb_common::wire::{Resolver, ResolverMode};
use lb_userspace::{
    dns::zone::Zone,
    model::{Name, World},
    watch::standalone::{self, Manifest},
};
use std::net::{IpAddr, SocketAddr};

/// Each kind of Service that has names of its own kind.
const MANIFESTS: &str = include_str!("../../lb-userspace/src/dns/testing.yaml");

/// The zone `cluster.local` of a small cluster.
///
/// # Panics
///
/// When its manifests are broken.
pub fn zone() -> Zone {
    let cidrs = ["10.96.0.0/16", "fd00:10:96::/112"].map(|text| text.parse().expect("a range"));
    let (crowd, group) = (headless("crowd", 1_000), headless("group", 50));
    let files = [
        ("names.yaml", MANIFESTS),
        ("crowd.yaml", &crowd),
        ("group.yaml", &group),
    ];
    let manifests = files.map(|(file, text)| Manifest {
        folder: 0,
        file,
        text,
    });
    let mut world = World::new("node");
    for change in standalone::list(&manifests, &cidrs).changes {
        world.apply(change);
    }
    let dns = lb_userspace::config::dns::Dns::default();
    let mut zone = dns.zone();
    let names: Vec<Name> = world.services().map(|it| it.name.clone()).collect();
    zone.update(&world, &names, 1);
    zone
}

/// A headless Service with some pods: 1,000 is what a slice may have; of 50, some answers fit into
/// a datagram.
fn headless(name: &str, pods: u16) -> String {
    let endpoints = (0..pods).map(|number| {
        let [high, low] = number.to_be_bytes();
        format!("- {{addresses: [10.245.{high}.{low}], conditions: {{ready: true}}}}\n")
    });
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: None\n  \
         ports: [{{name: sql, port: 5432}}]\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-0, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: sql, port: 5432, protocol: TCP}}]\nendpoints:\n{}",
        endpoints.collect::<String>()
    )
}

/// Lets the kernel answer questions for names at an address of either family and a port, under a
/// lease of 30 s.
///
/// # Panics
///
/// When the domain is longer than the kernel knows.
pub fn answer_at(memory: &mut Memory, zone: &Zone, at: SocketAddr) {
    let mut resolver = zone.resolver().expect("the domain has room");
    let Resolver { narrow, wide, .. } = memory.resolver;
    (resolver.narrow, resolver.wide) = (narrow, wide);
    match at.ip() {
        IpAddr::V4(address) => resolver.narrow = address.octets(),
        IpAddr::V6(address) => resolver.wide = address.octets(),
    }
    resolver.port = at.port().to_be_bytes();
    resolver.mode = ResolverMode::On.byte();
    resolver.negative_until_ns = memory.now_ns + 30_000_000_000;
    memory.resolver = resolver;
    memory.names = zone.table().collect();
}

/// A query, not yet bytes.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    flags: u16,
    questions: u16,
    name: String,
    kind: u16,
    class: u16,
    opt: Option<(u16, u8)>,
    options: Vec<u8>,
}

impl Query {
    /// One for records of a type.
    pub fn of(name: &str, kind: u16) -> Self {
        Self {
            id: 0x1234,
            flags: 0x0100,
            questions: 1,
            name: name.to_owned(),
            kind,
            class: 1,
            opt: None,
            options: Vec::new(),
        }
    }

    /// Another id.
    #[must_use]
    pub fn id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    /// Other flags than "recursion desired".
    #[must_use]
    pub fn flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    /// Another number of questions than there are.
    #[must_use]
    pub fn questions(self, questions: u16) -> Self {
        Self { questions, ..self }
    }

    /// Another class than the Internet's.
    #[must_use]
    pub fn class(self, class: u16) -> Self {
        Self { class, ..self }
    }

    /// EDNS, for answers of so many bytes.
    #[must_use]
    pub fn opt(self, payload: u16) -> Self {
        let opt = Some((payload, 0));
        Self { opt, ..self }
    }

    /// Another version of EDNS.
    #[must_use]
    pub fn version(self, version: u8) -> Self {
        let opt = self.opt.map(|(payload, _)| (payload, version));
        Self { opt, ..self }
    }

    /// One more option of EDNS.
    ///
    /// # Panics
    ///
    /// When it is longer than any option.
    #[must_use]
    pub fn option(mut self, code: u16, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).expect("a short option");
        self.options.extend(code.to_be_bytes());
        self.options.extend(length.to_be_bytes());
        self.options.extend(bytes);
        self
    }

    /// A client's cookie, as `dig` sends it.
    #[must_use]
    pub fn cookie(self) -> Self {
        self.option(10, &[1, 2, 3, 4, 5, 6, 7, 8])
    }

    /// The message.
    ///
    /// # Panics
    ///
    /// When labels are longer than any.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let additional = u16::from(self.opt.is_some());
        for word in [self.id, self.flags, self.questions, 0, 0, additional] {
            bytes.extend(word.to_be_bytes());
        }
        for label in self.name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).expect("a label"));
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(self.class.to_be_bytes());
        if let Some((payload, version)) = self.opt {
            let length = u16::try_from(self.options.len()).expect("few options");
            bytes.extend([0, 0, 41]);
            bytes.extend(payload.to_be_bytes());
            bytes.extend([0, version, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(&self.options);
        }
        bytes
    }
}
