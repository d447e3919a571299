// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applies changes, and says which Services each one touches.
//!
//! Decides nothing about what an object means, and cannot fail: planning judges.

mod list;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Change, EndpointSlice, Kind, Name, NodeObject, Parts, Place, ServiceObject, nodes::Nodes,
    shared::Shared,
};
use list::List;

/// What planning may know of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's name, as in `nodeName` of endpoints.
    pub name: Arc<str>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// The node's own addresses, as its Node object lists them.
    pub addresses: Vec<IpAddr>,
    /// Those that its links have, as far as anybody asks for them.
    pub held: BTreeSet<IpAddr>,
}

/// Whose plan a change may alter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// These Services; often one, never more than a list named or forgot, or than have node ports.
    Services(BTreeSet<Name>),
    /// All of them: the facts of this node have changed.
    Everything,
}

/// All objects that are known.
#[derive(Clone, Debug)]
pub struct World {
    services: BTreeMap<Name, Arc<ServiceObject>>,
    /// By Service, in the order of the slices' own names.
    slices: BTreeMap<Name, Vec<Arc<EndpointSlice>>>,
    /// Which Service a slice belongs to.
    owners: BTreeMap<Name, Name>,
    node: NodeFacts,
    /// Kept apart from the facts: no plan depends on it.
    node_leaving: bool,
    node_known: bool,
    /// All nodes, by name. No plan depends on where others are.
    nodes: Nodes,
    /// Of Services.
    names: Shared<Parts>,
    places: Shared<Place>,
    /// Namespaces, and names of ports.
    words: Shared<str>,
    service_list: List<Name>,
    slice_list: List<Name>,
    node_list: List<Arc<str>>,
    /// Shared with whoever remembers them, so that the same set is known by its address.
    namespaces: Arc<BTreeSet<Arc<str>>>,
    namespace_list: List<Arc<str>>,
}

impl World {
    /// A world without objects, seen from the node of this name.
    pub fn new(node_name: &str) -> Self {
        Self {
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            owners: BTreeMap::new(),
            node: NodeFacts {
                name: node_name.into(),
                ..NodeFacts::default()
            },
            node_leaving: false,
            node_known: false,
            nodes: Nodes::default(),
            names: Shared::default(),
            places: Shared::default(),
            words: Shared::default(),
            service_list: List::default(),
            slice_list: List::default(),
            node_list: List::default(),
            namespaces: Arc::default(),
            namespace_list: List::default(),
        }
    }

    /// Takes one change in.
    pub fn apply(&mut self, change: Change) -> Touched {
        match change {
            Change::Service(service) => self.put_service(service),
            Change::ServiceGone(name) => self.remove_service(&name),
            Change::Slice(slice) => self.put_slice(slice),
            Change::SliceGone(name) => self.remove_slice(&name),
            Change::Node(node) => self.put_node(&node),
            Change::NodeGone(name) => self.remove_node(&name),
            Change::Namespace(name) => self.put_namespace(&name),
            Change::NamespaceGone(name) => self.remove_namespace(&name),
            Change::Addresses(addresses) => self.hold(addresses),
            Change::Unreadable(kind, name) => self.keep(kind, &name),
            Change::Listing(kind) => self.begin_list(kind),
            Change::Listed(kind) => self.end_list(kind),
        }
    }

    /// Whether every kind that plans depend on has been listed once. Until then the world may be
    /// any part of the cluster, and absence means nothing.
    pub fn all_listed(&self) -> bool {
        self.service_list.complete && self.slice_list.complete && self.node_list.complete
    }

    /// All Services.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceObject>> {
        self.services.values()
    }

    /// One Service.
    pub fn service(&self, name: &Name) -> Option<&ServiceObject> {
        self.services.get(name).map(AsRef::as_ref)
    }

    /// The slices of a Service, in the order of their names.
    pub fn slices(&self, service: &Name) -> impl Iterator<Item = &EndpointSlice> {
        let slices = self.slices.get(service).into_iter();
        slices.flatten().map(AsRef::as_ref)
    }

    /// The Namespaces, as far as they are followed. That one is not here means nothing.
    pub fn namespaces(&self) -> &Arc<BTreeSet<Arc<str>>> {
        &self.namespaces
    }

    /// This node.
    pub fn node(&self) -> &NodeFacts {
        &self.node
    }

    /// Whether this node is being deleted or about to be, as far as was told last: a node that is
    /// gone does not come back.
    pub fn node_leaving(&self) -> bool {
        self.node_leaving
    }

    /// Whether there is a Node object of this node's name.
    pub fn node_known(&self) -> bool {
        self.node_known
    }

    /// The addresses of all nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn put_service(&mut self, mut service: Arc<ServiceObject>) -> Touched {
        let name = self.shared_name(&service.name.namespace, &service.name.name);
        if let Some(service) = Arc::get_mut(&mut service) {
            service.name = name.clone();
            // Who needs it has seen it pass by.
            service.uid = Arc::default();
            let ports = service.ports.iter_mut();
            ports.for_each(|port| self.words.share(&mut port.name));
        }
        self.service_list.named(&name);
        if self.services.get(&name) == Some(&service) {
            return Touched::none();
        }
        self.services.insert(name.clone(), service);
        Touched::one(name)
    }

    fn remove_service(&mut self, name: &Name) -> Touched {
        self.service_list.named(name);
        match self.services.remove(name) {
            Some(_) => Touched::one(name.clone()),
            None => Touched::none(),
        }
    }

    fn put_slice(&mut self, mut slice: Arc<EndpointSlice>) -> Touched {
        let service = self.shared_name(&slice.name.namespace, &slice.service);
        if let Some(slice) = Arc::get_mut(&mut slice) {
            self.share_parts(slice, &service);
        }
        let name = slice.name.clone();
        let known = self.slices.get(&service);
        let known = known.and_then(|slices| slices.get(place(slices, &name.name).ok()?));
        if known == Some(&slice) {
            self.slice_list.named(&name);
            return Touched::none();
        }
        // A slice may change hands: then it touches the Service that it leaves as well.
        let mut touched = self.forget_slice(&name);
        self.slice_list.named(&name);
        let slices = self.slices.entry(service.clone()).or_default();
        if let Err(place) = place(slices, &name.name) {
            // Most have one.
            slices.reserve_exact(1);
            slices.insert(place, slice);
        }
        self.owners.insert(name, service.clone());
        touched.insert(service);
        Touched::Services(touched)
    }

    fn remove_slice(&mut self, name: &Name) -> Touched {
        self.slice_list.named(name);
        Touched::Services(self.forget_slice(name))
    }

    fn forget_slice(&mut self, name: &Name) -> BTreeSet<Name> {
        let Some(service) = self.owners.remove(name) else {
            return BTreeSet::new();
        };
        if let Some(slices) = self.slices.get_mut(&service) {
            if let Ok(place) = place(slices, &name.name) {
                slices.remove(place);
            }
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        BTreeSet::from([service])
    }

    /// The name of a Service, the same one for all that keep it.
    fn shared_name(&mut self, namespace: &Arc<str>, name: &Arc<str>) -> Name {
        let mut parts = Parts {
            namespace: namespace.clone(),
            name: name.clone(),
        };
        self.words.share(&mut parts.namespace);
        let mut name = Name::from(parts);
        self.names.share(&mut name.0);
        name
    }

    /// What a slice has in common with others, unless whoever told of it keeps it as it is.
    fn share_parts(&mut self, slice: &mut EndpointSlice, service: &Name) {
        slice.service = service.name.clone();
        if let Some(parts) = Arc::get_mut(&mut slice.name.0) {
            parts.namespace = service.namespace.clone();
        }
        let endpoints = slice.endpoints.iter_mut();
        endpoints.for_each(|endpoint| self.places.share(&mut endpoint.place));
        let ports = slice.ports.iter_mut();
        ports.for_each(|port| self.words.share(&mut port.name));
    }

    fn put_node(&mut self, node: &NodeObject) -> Touched {
        self.node_list.named(&node.name);
        self.nodes.put(&node.name, &node.addresses);
        if node.name != self.node.name {
            return Touched::none();
        }
        self.node_leaving = node.leaving;
        self.node_known = true;
        self.turn_into(NodeFacts {
            name: node.name.clone(),
            zone: node.zone.clone(),
            addresses: node.addresses.clone(),
            held: self.node.held.clone(),
        })
    }

    fn remove_node(&mut self, name: &Arc<str>) -> Touched {
        self.node_list.named(name);
        self.nodes.remove(name);
        if *name != self.node.name {
            return Touched::none();
        }
        self.node_known = false;
        self.turn_into(NodeFacts {
            name: name.clone(),
            held: self.node.held.clone(),
            ..NodeFacts::default()
        })
    }

    fn hold(&mut self, addresses: BTreeSet<IpAddr>) -> Touched {
        if self.node.held == addresses {
            return Touched::none();
        }
        self.node.held = addresses;
        let services = self.services.values();
        let exposed = services.filter(|it| it.ports.iter().any(|port| port.node_port != 0));
        Touched::Services(exposed.map(|it| it.name.clone()).collect())
    }

    fn put_namespace(&mut self, name: &Arc<str>) -> Touched {
        self.namespace_list.named(name);
        if !self.namespaces.contains(name) {
            Arc::make_mut(&mut self.namespaces).insert(name.clone());
        }
        Touched::none()
    }

    fn remove_namespace(&mut self, name: &Arc<str>) -> Touched {
        self.namespace_list.named(name);
        if self.namespaces.contains(name) {
            Arc::make_mut(&mut self.namespaces).remove(name);
        }
        Touched::none()
    }

    fn turn_into(&mut self, facts: NodeFacts) -> Touched {
        if self.node == facts {
            return Touched::none();
        }
        self.node = facts;
        Touched::Everything
    }

    fn keep(&mut self, kind: Kind, name: &Name) -> Touched {
        match kind {
            Kind::Service => self.service_list.named(name),
            Kind::EndpointSlice => self.slice_list.named(name),
            Kind::Node => self.node_list.named(&name.name),
            Kind::Namespace => self.namespace_list.named(&name.name),
        }
        Touched::none()
    }

    fn begin_list(&mut self, kind: Kind) -> Touched {
        match kind {
            Kind::Service => self.service_list.begin(self.services.keys().cloned()),
            Kind::EndpointSlice => self.slice_list.begin(self.owners.keys().cloned()),
            Kind::Node => {
                let ours = self.node.name.clone();
                self.node_list.begin(self.nodes.names().chain([ours]));
            }
            Kind::Namespace => self.namespace_list.begin(self.namespaces.iter().cloned()),
        }
        Touched::none()
    }

    fn end_list(&mut self, kind: Kind) -> Touched {
        match kind {
            Kind::Service => {
                let gone = self.service_list.end();
                self.services.retain(|name, _| !gone.contains(name));
                Touched::Services(gone)
            }
            Kind::EndpointSlice => {
                let gone = self.slice_list.end();
                let owners = gone.iter().flat_map(|name| self.forget_slice(name));
                Touched::Services(owners.collect())
            }
            Kind::Node => {
                let gone = self.node_list.end().into_iter();
                let touched = gone.map(|name| self.remove_node(&name));
                // Only what becomes of our own touches anything.
                let ours = touched.reduce(|one, other| match one {
                    Touched::Everything => one,
                    Touched::Services(_) => other,
                });
                ours.unwrap_or_else(Touched::none)
            }
            Kind::Namespace => {
                for name in self.namespace_list.end() {
                    self.remove_namespace(&name);
                }
                Touched::none()
            }
        }
    }
}

/// Where a slice is among those of its Service, or belongs.
fn place(slices: &[Arc<EndpointSlice>], name: &Arc<str>) -> Result<usize, usize> {
    slices.binary_search_by(|slice| slice.name.name.cmp(name))
}

impl Touched {
    fn none() -> Self {
        Self::Services(BTreeSet::new())
    }

    fn one(name: Name) -> Self {
        Self::Services(BTreeSet::from([name]))
    }
}

#[cfg(test)]
mod tests;
