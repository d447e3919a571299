// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flags' values as people write them, for what is printed at start.

use clap::ValueEnum;
use std::fmt;

/// One of several words.
pub(super) fn as_given(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Values with commas between them.
pub(super) fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}
