// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use super::source::{self, Particulars, Told};
use crate::{
    model::{Change, Kind},
    watch::convert,
};

/// Follows them for ever.
pub(super) async fn follow(told: Told) {
    let particulars = Particulars {
        kind: Kind::Node,
        plural: "nodes",
        label: None,
        convert: |object: &Node, ignored| {
            let node = convert::node(object, ignored)?;
            Some(Change::Node(Arc::new(node)))
        },
        gone: |name| Change::NodeGone(name.name.clone()),
    };
    source::follow(particulars, told).await;
}
