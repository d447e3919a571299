// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which Pods a selector means, without asking each.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;

use crate::model::Name;

type Labels = BTreeMap<String, String>;
/// Namespace, label, value.
type Place<'a> = (&'a str, &'a str, &'a str);

/// Pods by each of their labels.
pub(in crate::watch::standalone) struct Pods<'a> {
    by_label: BTreeMap<Place<'a>, Vec<(&'a Arc<str>, &'a Pod)>>,
}

impl<'a> Pods<'a> {
    /// Indexes Pods, which arrive in the order of their names.
    pub(in crate::watch::standalone) fn index(
        pods: impl Iterator<Item = (&'a Name, &'a Pod)>,
    ) -> Self {
        let mut by_label: BTreeMap<Place<'a>, Vec<_>> = BTreeMap::new();
        for (name, pod) in pods {
            for (key, value) in pod.metadata.labels.iter().flatten() {
                let place = (&*name.namespace, key.as_str(), value.as_str());
                by_label.entry(place).or_default().push((&name.name, pod));
            }
        }
        Self { by_label }
    }

    /// The Pods of a namespace that have all of a selector's labels, in the order of their names.
    /// No selector, or an empty one, selects nothing.
    pub(super) fn selected(
        &self,
        namespace: &str,
        selector: Option<&Labels>,
    ) -> Vec<(&'a Arc<str>, &'a Pod)> {
        let labels = selector.into_iter().flatten();
        let of_label = labels.map(|(key, value)| {
            let place = (namespace, key.as_str(), value.as_str());
            self.by_label.get(&place).map_or(&[][..], Vec::as_slice)
        });
        // The rarest label leaves the fewest Pods to look at.
        let fewest = of_label.min_by_key(|pods| pods.len()).unwrap_or_default();
        let candidates = fewest.iter().copied();
        candidates
            .filter(|(_, pod)| has_all(pod, selector))
            .collect()
    }
}

fn has_all(pod: &Pod, selector: Option<&Labels>) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let mut wanted = selector.into_iter().flatten();
    wanted.all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}
