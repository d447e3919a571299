// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services and backends for rows, written as the agent writes them but for the slots: those are
//! dealt out in turn, so that a test can say where a slot leads.

use super::{Holds, Memory};
use crate::packet::STATION;
use lb_common::{
    family::{Family, V4, V6},
    masquerade,
    tunnel::Format,
    wire::{
        Backend, BackendState, CHUNK_SLOTS, Chunk, Expiry, FrontendKey, Mask, Onwards, Service,
        Slot, Tuple, Uplink, fingerprint, scope,
    },
};
use std::net::{IpAddr, SocketAddr};

/// A family whose addresses have a form in the standard library.
pub trait Standard: Family {
    /// The address in network order.
    ///
    /// # Panics
    ///
    /// When it is of the other family.
    fn octets(address: IpAddr) -> Self::Address;
}

impl Standard for V4 {
    fn octets(address: IpAddr) -> [u8; 4] {
        match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => panic!("{address} is not IPv4"),
        }
    }
}

impl Standard for V6 {
    fn octets(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V6(address) => address.octets(),
            IpAddr::V4(address) => panic!("{address} is not IPv6"),
        }
    }
}

/// The key of a frontend.
pub fn frontend_key<F: Standard>(at: SocketAddr, protocol: u8) -> FrontendKey<F::Address> {
    FrontendKey {
        address: F::octets(at.ip()),
        port: at.port().to_be_bytes(),
        protocol,
        scope: 0,
    }
}

/// The key of a flow, or of its reverse entry.
pub fn tuple<F: Standard>(
    source: SocketAddr,
    destination: SocketAddr,
    protocol: u8,
) -> Tuple<F::Address> {
    Tuple {
        source: F::octets(source.ip()),
        destination: F::octets(destination.ip()),
        source_port: source.port().to_be_bytes(),
        destination_port: destination.port().to_be_bytes(),
        protocol,
        pad: [0; 3],
    }
}

impl Memory {
    /// Gives birth to an active backend under an id.
    pub fn add_backend(&mut self, id: u32, at: SocketAddr, protocol: u8) {
        let version = self.next_version();
        let (address, family) = match at.ip() {
            IpAddr::V4(address) => (V4::widen(address.octets()), 4),
            IpAddr::V6(address) => (V6::widen(address.octets()), 6),
        };
        let backend = Backend {
            version,
            epoch: version,
            address,
            port: at.port().to_be_bytes(),
            protocol,
            state: 0,
            id,
            service_id: 1,
            family,
            set: 0,
            pad: 0,
            version_end: version,
        };
        self.backends.insert(id, backend);
        self.set_backend(id, BackendState::Active);
    }

    /// Puts a backend into another state.
    ///
    /// # Panics
    ///
    /// When the id was never given out.
    pub fn set_backend(&mut self, id: u32, state: BackendState) {
        let version = self.next_version();
        let backend = self.backends.get_mut(&id).expect("the id was given out");
        *backend = Backend {
            version,
            version_end: version,
            state: state.byte(),
            ..*backend
        };
    }

    /// Writes a frontend that spreads new flows over some backends, or over none.
    pub fn add_service(&mut self, at: SocketAddr, protocol: u8, backends: &[u32]) {
        self.add_entry(at, protocol, scope::ALL, backends);
    }

    /// Writes the entry that a frontend has for clients from outside alone.
    pub fn add_outside(&mut self, at: SocketAddr, protocol: u8, backends: &[u32]) {
        self.add_entry(at, protocol, scope::OUTSIDE, backends);
    }

    /// Writes a frontend whose clients from outside get there by a tunnel.
    pub fn add_tunnelled(&mut self, at: SocketAddr, protocol: u8, backends: &[u32], by: Format) {
        self.add_service(at, protocol, backends);
        self.set_flags(at, protocol, by.flag());
    }

    /// Writes the entry that a frontend has for what comes out of a tunnel alone.
    pub fn add_out_of_tunnel(&mut self, at: SocketAddr, protocol: u8, backends: &[u32]) {
        self.add_address(at.ip());
        self.add_entry(at, protocol, scope::TUNNEL, backends);
    }

    /// An address is one of a node's.
    pub fn add_node(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => drop(self.v4.nodes.insert(address.octets())),
            IpAddr::V6(address) => drop(self.v6.nodes.insert(address.octets())),
        }
    }

    fn add_entry(&mut self, at: SocketAddr, protocol: u8, scope: u8, backends: &[u32]) {
        match at {
            SocketAddr::V4(_) => {
                let key = frontend_key::<V4>(at, protocol);
                self.put_service::<V4>(FrontendKey { scope, ..key }, backends);
            }
            SocketAddr::V6(_) => {
                let key = frontend_key::<V6>(at, protocol);
                self.put_service::<V6>(FrontendKey { scope, ..key }, backends);
            }
        }
    }

    /// Makes an interface an uplink, by which the node is known as these, IPv4's and IPv6's.
    pub fn add_uplink(&mut self, ifindex: u32, addresses: [IpAddr; 2]) {
        let version = self.next_version();
        let wide = |address| match address {
            IpAddr::V4(address) => V4::widen(address.octets()),
            IpAddr::V6(address) => V6::widen(address.octets()),
        };
        let uplink = Uplink {
            version,
            identity: fingerprint(&ifindex),
            addresses: addresses.map(wide),
            station: STATION,
            takes_frames: 1,
            pad: 0,
            version_end: version,
        };
        self.uplinks.insert(ifindex, uplink);
    }

    /// Has a client be shown to a backend as the node's end `node`.
    pub fn add_masquerade(
        &mut self,
        client: SocketAddr,
        backend: SocketAddr,
        node: SocketAddr,
        protocol: u8,
    ) {
        match client {
            SocketAddr::V4(_) => self.put_masquerade::<V4>(client, backend, node, protocol),
            SocketAddr::V6(_) => self.put_masquerade::<V6>(client, backend, node, protocol),
        }
    }

    fn put_masquerade<F: Standard>(
        &mut self,
        client: SocketAddr,
        backend: SocketAddr,
        node: SocketAddr,
        protocol: u8,
    ) where
        Self: Holds<F>,
    {
        let born_ns = self.now_ns;
        let halves = [
            (Mask::SOURCE, client, backend, node),
            (Mask::DESTINATION, backend, node, client),
        ];
        for (end, from, to, put_in) in halves {
            let key = tuple::<F>(from, to, protocol);
            let mask = Mask {
                born_ns,
                identity: fingerprint(&key),
                address: F::widen(F::octets(put_in.ip())),
                port: put_in.port().to_be_bytes(),
                end,
                pad: [0; 5],
                onwards: Onwards::default(),
                born_ns_end: born_ns,
            };
            self.entries_mut().masks.insert(key, mask);
        }
        let entry = Expiry {
            born_ns: born_ns.to_ne_bytes(),
            key: masquerade::queued(&tuple::<F>(client, backend, protocol)),
        };
        self.entries_mut().expiries.push_back(entry);
    }

    /// Writes the entry of an address that a Service has.
    pub fn add_address(&mut self, address: IpAddr) {
        self.add_service(SocketAddr::new(address, 0), 0, &[]);
    }

    /// Removes a frontend.
    pub fn remove_service(&mut self, at: SocketAddr, protocol: u8) {
        match at {
            SocketAddr::V4(_) => drop(self.v4.frontends.remove(&frontend_key::<V4>(at, protocol))),
            SocketAddr::V6(_) => drop(self.v6.frontends.remove(&frontend_key::<V6>(at, protocol))),
        }
    }

    /// Sets the session affinity time-out of a frontend that is there; 0 = none.
    pub fn set_affinity(&mut self, at: SocketAddr, protocol: u8, seconds: u32) {
        let set = |service: &mut Service| service.affinity_s = seconds;
        match at {
            SocketAddr::V4(_) => self.change_service::<V4>(at, protocol, set),
            SocketAddr::V6(_) => self.change_service::<V6>(at, protocol, set),
        }
    }

    /// Sets the flags of a frontend that is there.
    pub fn set_flags(&mut self, at: SocketAddr, protocol: u8, flags: u32) {
        let set = |service: &mut Service| service.flags = flags;
        match at {
            SocketAddr::V4(_) => self.change_service::<V4>(at, protocol, set),
            SocketAddr::V6(_) => self.change_service::<V6>(at, protocol, set),
        }
    }

    fn change_service<F: Standard>(
        &mut self,
        at: SocketAddr,
        protocol: u8,
        change: impl Fn(&mut Service),
    ) where
        Self: Holds<F>,
    {
        let version = self.next_version();
        let key = frontend_key::<F>(at, protocol);
        if let Some(service) = self.entries_mut().frontends.get_mut(&key) {
            change(service);
            service.version = version;
            service.version_end = version;
        }
    }

    fn put_service<F: Standard>(&mut self, key: FrontendKey<F::Address>, backends: &[u32])
    where
        Self: Holds<F>,
    {
        let version = self.next_version();
        let old = self.entries().frontends.get(&key).copied();
        let first_chunk = old.map_or_else(|| self.free_chunk(), |service| service.first_chunk);
        let mut chunk = Chunk::default();
        for (slot, id) in chunk.backends.iter_mut().zip(backends.iter().cycle()) {
            *slot = Slot::of(*id);
        }
        self.chunks.insert(first_chunk, chunk);
        let service = Service {
            version,
            identity: fingerprint(&key),
            service_id: first_chunk + 1,
            first_chunk,
            slot_count: if backends.is_empty() { 0 } else { CHUNK_SLOTS },
            backend_count: u32::try_from(backends.len()).expect("few backends"),
            affinity_s: old.map_or(0, |service| service.affinity_s),
            version_end: version,
            ..Service::default()
        };
        self.entries_mut().frontends.insert(key, service);
    }

    fn next_version(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn free_chunk(&self) -> u32 {
        self.chunks.keys().next_back().map_or(0, |last| last + 1)
    }
}
