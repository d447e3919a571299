// SPDX-License-Identifier: MIT OR Apache-2.0
//! Namespaces: that they are there, and nothing else of them.

use k8s_openapi::api::core::v1::Namespace;

use super::source::{self, Particulars, Told};
use crate::model::{Change, Kind};

/// Follows them for ever.
pub(super) async fn follow(told: Told) {
    let particulars = Particulars {
        kind: Kind::Namespace,
        plural: "namespaces",
        label: None,
        convert: |object: &Namespace, _ignored| {
            let name = object.metadata.name.as_deref()?;
            Some(Change::Namespace(name.into()))
        },
        gone: |name| Change::NamespaceGone(name.name.clone()),
    };
    source::follow(particulars, told).await;
}
