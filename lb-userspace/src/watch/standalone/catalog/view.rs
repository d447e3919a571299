// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects as the rest of the agent is to see them, and the difference of two views.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice as KubeSlice;

use super::objects::{Objects, Stated};
use crate::{
    model::{Change, EndpointSlice, Name, NodeObject, ServiceKind, ServiceObject},
    watch::{
        convert,
        standalone::{
            addresses::{Ledger, Wish},
            endpoints::{self, OwnServer, Pods},
            families::{Family, families},
        },
        status::{Pending, Problem},
    },
};

/// All objects after conversion.
#[derive(Debug, Default)]
pub(super) struct View {
    nodes: BTreeMap<Arc<str>, Arc<NodeObject>>,
    slices: BTreeMap<Name, Arc<EndpointSlice>>,
    services: BTreeMap<Name, Arc<ServiceObject>>,
    namespaces: BTreeSet<Arc<str>>,
}

/// A Service on its way: converted, without the addresses that it is to be given.
struct Draft<'a> {
    stated: &'a Stated<Service>,
    object: ServiceObject,
    families: Vec<Family>,
}

impl View {
    /// Converts everything, with Cluster-IPs from `ledger` and computed endpoints.
    pub(super) fn of(
        objects: &Objects,
        ledger: &mut Ledger,
        cidrs: &[IpNet],
        own: Option<&OwnServer>,
        now_s: u64,
        problems: &mut Vec<Problem>,
        pending: &mut Vec<Pending>,
    ) -> Self {
        let mut view = Self::default();
        let namespaces = objects.namespaces.keys();
        view.namespaces = namespaces.map(|name| name.name.clone()).collect();
        view.take_nodes(objects, problems);
        view.take_slices(objects, problems);
        let drafts = drafts(objects, cidrs, problems);
        let pods = objects.pods.iter();
        let pods = Pods::index(pods.map(|(name, stated)| (name, &stated.object)));
        for draft in &drafts {
            view.compute_slices(draft, &pods, own, problems, pending);
        }
        view.take_services(drafts, ledger, cidrs, now_s, problems);
        view
    }

    /// What changed since `before`; endpoints come before the Services that need them.
    pub(super) fn since(&self, before: &Self) -> Vec<Change> {
        let new = self.namespaces.difference(&before.namespaces).cloned();
        let gone = before.namespaces.difference(&self.namespaces).cloned();
        let new = new.map(Change::Namespace);
        let mut changes: Vec<Change> = new.chain(gone.map(Change::NamespaceGone)).collect();
        differ(
            &before.nodes,
            &self.nodes,
            Change::Node,
            Change::NodeGone,
            &mut changes,
        );
        differ(
            &before.slices,
            &self.slices,
            Change::Slice,
            Change::SliceGone,
            &mut changes,
        );
        differ(
            &before.services,
            &self.services,
            Change::Service,
            Change::ServiceGone,
            &mut changes,
        );
        changes
    }

    fn take_nodes(&mut self, objects: &Objects, problems: &mut Vec<Problem>) {
        for (name, stated) in &objects.nodes {
            let mut ignored = Vec::new();
            let node = convert::node(&stated.object, &mut ignored);
            say(stated, &format!("Node {}", name.name), ignored, problems);
            self.nodes
                .extend(node.map(|node| (node.name.clone(), Arc::new(node))));
        }
    }

    fn take_slices(&mut self, objects: &Objects, problems: &mut Vec<Problem>) {
        for (name, stated) in &objects.slices {
            let mut ignored = Vec::new();
            let slice = convert::slice(&with_defaults(&stated.object), &mut ignored);
            if slice.is_none() && ignored.is_empty() {
                ignored.push(
                    "it belongs to no Service: name one in the label kubernetes.io/service-name"
                        .to_owned(),
                );
            }
            say(stated, &format!("EndpointSlice {name}"), ignored, problems);
            self.slices
                .extend(slice.map(|slice| (name.clone(), Arc::new(slice))));
        }
    }

    fn compute_slices<'a>(
        &mut self,
        draft: &Draft<'a>,
        pods: &Pods<'a>,
        own: Option<&OwnServer>,
        problems: &mut Vec<Problem>,
        pending: &mut Vec<Pending>,
    ) {
        let Draft {
            stated,
            object,
            families,
        } = draft;
        let name = &object.name;
        let own = own.and_then(|own| own.slices(&stated.object, object, families));
        let computed = own.or_else(|| {
            endpoints::slices(name, &stated.object, families, pods, &self.nodes, pending)
        });
        let Some(computed) = computed else {
            return;
        };
        let mut ignored = Vec::new();
        if computed.selected == 0 {
            ignored.push(format!(
                "its selector matches no Pod in namespace {}: compare it with the Pods' labels",
                name.namespace
            ));
        }
        for slice in computed.slices {
            if self.slices.contains_key(&slice.name) {
                ignored.push(format!(
                    "a manifest holds an EndpointSlice called {}, which is the name of computed \
                     endpoints; rename it",
                    slice.name
                ));
            } else {
                self.slices.insert(slice.name.clone(), Arc::new(slice));
            }
        }
        say(stated, &format!("Service {name}"), ignored, problems);
    }

    fn take_services(
        &mut self,
        drafts: Vec<Draft<'_>>,
        ledger: &mut Ledger,
        cidrs: &[IpNet],
        now_s: u64,
        problems: &mut Vec<Problem>,
    ) {
        let wishes: Vec<Wish> = drafts.iter().filter_map(wish).collect();
        let mut grants = ledger.grant(&wishes, cidrs, now_s);
        for Draft {
            stated, mut object, ..
        } in drafts
        {
            if let Some(grant) = grants.remove(&object.name) {
                object.cluster_ips = grant.addresses;
                say(
                    stated,
                    &format!("Service {}", object.name),
                    grant.problems,
                    problems,
                );
            }
            self.services.insert(object.name.clone(), Arc::new(object));
        }
    }
}

fn drafts<'a>(
    objects: &'a Objects,
    cidrs: &[IpNet],
    problems: &mut Vec<Problem>,
) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    let nothing = ServiceSpec::default();
    for (name, stated) in &objects.services {
        let mut ignored = Vec::new();
        if let Some(object) = convert::service(&stated.object, &mut ignored) {
            let spec = stated.object.spec.as_ref().unwrap_or(&nothing);
            let (families, refused) = families(spec, &object.cluster_ips, cidrs);
            ignored.extend(refused);
            drafts.push(Draft {
                stated,
                object,
                families,
            });
        }
        say(stated, &format!("Service {name}"), ignored, problems);
    }
    drafts
}

/// What a Service wants of the address ledger; `None` for those that have no Cluster-IP at all.
fn wish(draft: &Draft<'_>) -> Option<Wish> {
    let spec = draft.stated.object.spec.as_ref();
    let stated = spec.into_iter().flat_map(|spec| {
        let first = spec.cluster_ip.iter();
        first.chain(spec.cluster_ips.iter().flatten())
    });
    let none = stated.into_iter().any(|text| text == "None");
    let has_one = !none && draft.object.kind != ServiceKind::ExternalName;
    has_one.then(|| Wish {
        name: draft.object.name.clone(),
        families: draft.families.clone(),
        own: draft.object.cluster_ips.clone(),
    })
}

/// The API server's defaults, which conversion takes for granted: a slice port's name is "".
fn with_defaults(slice: &KubeSlice) -> KubeSlice {
    let mut slice = slice.clone();
    for port in slice.ports.iter_mut().flatten() {
        port.name.get_or_insert_default();
    }
    slice
}

fn say<T>(stated: &Stated<T>, object: &str, reasons: Vec<String>, problems: &mut Vec<Problem>) {
    let said = reasons.into_iter();
    problems.extend(said.map(|reason| stated.problem(object.to_owned(), reason)));
}

fn differ<K: Ord + Clone, V: PartialEq>(
    before: &BTreeMap<K, Arc<V>>,
    now: &BTreeMap<K, Arc<V>>,
    there: impl Fn(Arc<V>) -> Change,
    gone: impl Fn(K) -> Change,
    changes: &mut Vec<Change>,
) {
    for (key, object) in now {
        if before.get(key) != Some(object) {
            changes.push(there(object.clone()));
        }
    }
    let vanished = before.keys().filter(|key| !now.contains_key(key));
    changes.extend(vanished.cloned().map(gone));
}
