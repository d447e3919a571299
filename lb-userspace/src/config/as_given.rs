// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flags' values as people write them, and the line of them that is printed at start.

use super::{Config, Source, duration};
use crate::datapath::Sizes;
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

/// One line for the log; the seed is no part of it.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Manifests(folders) => write!(f, "standalone, manifests {folders:?}")?,
            Source::Cluster(access) => write!(f, "{access}")?,
        }
        let edges = join(&self.globs.edges);
        let uplinks = match join(&self.globs.uplinks) {
            empty if empty.is_empty() => "with a default route".to_owned(),
            globs => globs,
        };
        let Sizes {
            frontends,
            backends,
            slots,
            flows,
            half_open,
            affinity,
        } = self.sizes;
        write!(
            f,
            "; node {}; edges {edges}; uplinks {uplinks}; attach {}; XDP {}; \
             direct delivery {}; forwarding {}; pins {}; state {}; service CIDRs {}; \
             sizes: frontends {frontends}, backends {backends}, slots {slots}, flows {flows}, \
             half-open {half_open}, affinity {affinity}; time-outs: {}; {}; {}",
            self.node_name,
            as_given(&self.attach),
            as_given(&self.xdp),
            as_given(&self.direct),
            as_given(&self.rules.forwarding),
            self.pin_dir.display(),
            self.state_dir.display(),
            join(&self.service_cidrs),
            duration::describe(&self.timeouts),
            self.servers,
            self.dns,
        )
    }
}
