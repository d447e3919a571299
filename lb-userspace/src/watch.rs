// SPDX-License-Identifier: MIT OR Apache-2.0
//! One stream of [`Change`](crate::model::Change) from whichever source there is.
//!
//! Nothing after this module knows whether objects came from a cluster or from folders of
//! manifests. It knows no plan and no map.

pub mod convert;
pub mod standalone;
pub mod status;
