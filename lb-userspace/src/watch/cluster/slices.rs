// SPDX-License-Identifier: MIT OR Apache-2.0
//! `EndpointSlices` of all namespaces that belong to a Service.

use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::source::{self, Particulars, Told};
use crate::{
    model::{Change, Kind},
    watch::convert,
};

/// Follows them for ever.
pub(super) async fn follow(told: Told) {
    let particulars = Particulars {
        kind: Kind::EndpointSlice,
        plural: "endpointslices",
        // The server leaves out those that belong to no Service.
        label: Some(convert::SERVICE_NAME),
        convert: |object: &EndpointSlice, ignored| {
            let slice = convert::slice(object, ignored)?;
            Some(Change::Slice(Arc::new(slice)))
        },
        gone: Change::SliceGone,
    };
    source::follow(particulars, told).await;
}
