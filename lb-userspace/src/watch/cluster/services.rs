// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services of all namespaces.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;

use super::source::{self, Particulars, Told};
use crate::{
    model::{Change, Kind},
    watch::convert,
};

/// Follows them for ever. Those that are not ours to serve are told too: planning decides.
pub(super) async fn follow(told: Told) {
    let particulars = Particulars {
        kind: Kind::Service,
        plural: "services",
        label: None,
        convert: |object: &Service, ignored| {
            let service = convert::service(object, ignored)?;
            Some(Change::Service(Arc::new(service)))
        },
        gone: Change::ServiceGone,
    };
    source::follow(particulars, told).await;
}
