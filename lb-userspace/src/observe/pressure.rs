// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps that are nearly full: said once in the log, kept in `status.json` and in a gauge until
//! there is room again.

use crate::maps::kernel::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From this share of a map on it is an alarm, in percent.
const ALARM: u64 = 90;
/// Below this one it is over: a map that stays about there is said once, not again and again.
const CALM: u64 = 80;

/// A map that is nearly full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressed {
    /// As it is called in metrics.
    pub map: String,
    /// Entries that it has room for.
    pub capacity: u32,
    /// Since when, in seconds since 1970.
    pub since_s: u64,
}

impl Pressed {
    /// One line for people.
    pub fn line(&self, now_s: u64) -> String {
        let Self {
            map,
            capacity,
            since_s,
        } = self;
        let ago = now_s.saturating_sub(*since_s);
        let flag = flag(map);
        format!("{map}, which has room for {capacity}: a larger --{flag} makes more (for {ago} s)")
    }
}

/// Which maps are nearly full, from one look at them to the next.
#[derive(Debug, Default)]
pub struct Alarms(BTreeMap<String, Pressed>);

impl Alarms {
    /// Takes in how full the maps are at a time; whether that is news.
    pub fn judge(&mut self, usages: &[Usage], now_s: u64) -> bool {
        let mut is_news = false;
        for usage in usages {
            let Usage {
                map,
                entries,
                capacity,
                spare,
            } = *usage;
            let room = capacity.saturating_sub(spare).max(1);
            let percent = u64::from(entries).saturating_mul(100) / u64::from(room);
            if percent >= ALARM && !self.0.contains_key(map) {
                let pressed = Pressed {
                    map: map.to_owned(),
                    capacity,
                    since_s: now_s,
                };
                self.0.insert(map.to_owned(), pressed);
                let flag = flag(map);
                tracing::warn!(
                    "map {map} is nearly full: {entries} of {capacity} entries; start with a \
                     larger --{flag} to make room"
                );
                is_news = true;
            } else if percent < CALM && self.0.remove(map).is_some() {
                tracing::info!("no longer: map {map} has room, {entries} of {capacity} entries");
                is_news = true;
            }
        }
        is_news
    }

    /// Those that are nearly full, by name.
    pub fn pressed(&self) -> Vec<Pressed> {
        self.0.values().cloned().collect()
    }
}

/// What makes room in a map.
fn flag(map: &str) -> String {
    let name = map.strip_suffix("_v4").or_else(|| map.strip_suffix("_v6"));
    name.unwrap_or(map).replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_comes_once_and_goes_when_there_is_room() {
        let mut alarms = Alarms::default();
        for (now_s, entries, is_news, since_s) in [
            (1, 0, false, None),
            (2, 89, false, None),
            (3, 90, true, Some(3)),
            (4, 100, false, Some(3)),
            (5, 80, false, Some(3)),
            (6, 95, false, Some(3)),
            (7, 79, true, None),
            (8, 89, false, None),
            (9, 90, true, Some(9)),
        ] {
            let usages = [
                ("half_open_v4", entries, 150, 50),
                // As one that nobody has made yet.
                ("flows_v6", 0, 0, 0),
            ];
            let usages = usages.map(|(map, entries, capacity, spare)| Usage {
                map,
                entries,
                capacity,
                spare,
            });
            assert_eq!(alarms.judge(&usages, now_s), is_news, "at {now_s}");
            let since: Vec<u64> = alarms.pressed().iter().map(|one| one.since_s).collect();
            assert_eq!(since, Vec::from_iter(since_s), "at {now_s}");
        }
        let said = alarms.pressed()[0].line(10);
        assert_eq!(
            said,
            "half_open_v4, which has room for 150: a larger --half-open makes more (for 1 s)"
        );
    }
}
