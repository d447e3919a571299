// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one bridge between our wire types and aya's typed maps.
//!
//! `lb-common` must not depend on aya, and the orphan rule forbids implementing aya's trait for its
//! types elsewhere, so they cross in a wrapper.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A wire type as aya's maps take it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Wire<T>(pub T);

// SAFETY: zerocopy's derives have checked what aya asks for: every sequence of bytes is a value
// (`FromBytes`), and a value has neither padding (`IntoBytes`) nor interior mutability.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> aya::Pod for Wire<T> {}
