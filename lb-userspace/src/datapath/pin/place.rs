// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hooks at interfaces, and what pins of their links are called.

use std::{fmt, str::FromStr};

/// A hook at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The interface's index.
    pub ifindex: u32,
    /// Which of its hooks.
    pub hook: Hook,
}

/// The two hooks of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Packets that leave the node's stack. Attached first: replies before requests.
    Egress,
    /// Packets that enter the node's stack.
    Ingress,
}

impl Hook {
    /// Both, in the order in which they are attached.
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    /// The program for it.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Ingress => "weiche_ingress",
            Self::Egress => "weiche_egress",
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ifindex, self.hook.name())
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (ifindex, hook) = text.split_once('-').ok_or(NotAPlace)?;
        let hook = Hook::ALL
            .into_iter()
            .find(|known| known.name() == hook)
            .ok_or(NotAPlace)?;
        let ifindex = ifindex.parse().or(Err(NotAPlace))?;
        Ok(Self { ifindex, hook })
    }
}

/// A name in a folder of links that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPlace;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_names() {
        let place = |ifindex, hook| Ok(Place { ifindex, hook });
        for (text, parsed) in [
            ("7-ingress", place(7, Hook::Ingress)),
            ("4294967295-egress", place(u32::MAX, Hook::Egress)),
            ("7-", Err(NotAPlace)),
            ("-ingress", Err(NotAPlace)),
            ("7-sideways", Err(NotAPlace)),
            ("7", Err(NotAPlace)),
        ] {
            assert_eq!(text.parse(), parsed, "{text}");
            if let Ok(place) = parsed {
                assert_eq!(place.to_string(), text);
            }
        }
    }
}
