// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether packets pass the host's stack by, and what is in the way.

use super::{Labelled, Metrics};
use crate::delivery::{State, Why};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

impl Metrics {
    /// Takes in whether packets pass the host's stack by.
    pub fn direct(&self, state: &State) {
        self.own.direct.set(state);
    }
}

#[derive(Debug)]
pub(super) struct Direct {
    on: Gauge,
    obstacles: Labelled<Gauge>,
}

impl Direct {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            on: Gauge::default(),
            obstacles: Labelled::default(),
        };
        registry.register(
            "direct_delivery",
            "1 while translated packets pass the host's stack by",
            new.on.clone(),
        );
        registry.register(
            "direct_delivery_obstacles",
            "What keeps --direct-delivery=auto from letting packets pass the host's stack by",
            new.obstacles.clone(),
        );
        new
    }

    fn set(&self, state: &State) {
        self.on.set(i64::from(state.on));
        for why in Why::ALL {
            let obstacles = state.obstacles.iter();
            let number = obstacles.filter(|obstacle| obstacle.why == why).count();
            let gauge = self.obstacles.get_or_create(&[("why", why.name())]);
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}
