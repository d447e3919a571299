// SPDX-License-Identifier: MIT OR Apache-2.0
//! Patterns for interface names: `*` stands for any text, `?` for one character.

use std::{fmt, str::FromStr};

/// A pattern for interface names.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Glob(String);

/// Not a pattern that an interface name could match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    /// Empty.
    #[error("an empty pattern matches no interface; write `*` for all of them")]
    Empty,
    /// Something that no interface name has.
    #[error("interface names have no {0:?}; patterns are names with `*` and `?`, such as `veth*`")]
    Character(char),
    /// Longer than any interface's name.
    #[error("interface names have at most 15 bytes, and no name with {0} of them can match")]
    Long(usize),
}

/// `IFNAMSIZ` of `include/uapi/linux/if.h`, without the zero at the end.
const LONGEST: usize = 15;

impl FromStr for Glob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, BadGlob> {
        if text.is_empty() {
            return Err(BadGlob::Empty);
        }
        // What `dev_valid_name` of the kernel refuses, and what people from shells may expect.
        let mut characters = text.chars();
        let bad = characters.find(|c| c.is_whitespace() || "/:[]{},".contains(*c));
        if let Some(character) = bad {
            return Err(BadGlob::Character(character));
        }
        match text.bytes().filter(|byte| *byte != b'*').count() {
            length if length > LONGEST => Err(BadGlob::Long(length)),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Glob {
    /// Whether a name is meant.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }
}

/// Walks both; where the text fails after a star, the star takes one character more.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < name.len() {
        match (pattern.get(at), name.get(from)) {
            (Some(b'*'), _) => {
                star = Some((at, from));
                at += 1;
            }
            (Some(wanted), Some(found)) if *wanted == b'?' || wanted == found => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, matched) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("veth*", "veth", true),
            ("veth*", "veth12ab", true),
            ("veth*", "xveth", false),
            ("*", "", true),
            ("*", "anything", true),
            ("e?h*", "eth0", true),
            ("e?h*", "eh0", false),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("*-*-x", "a-b-c-x", true),
            ("?", "", false),
        ] {
            let glob: Glob = pattern.parse().unwrap();
            assert_eq!(glob.matches(name), matched, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, error) in [
            ("", BadGlob::Empty),
            ("eth0 eth1", BadGlob::Character(' ')),
            ("eth0,eth1", BadGlob::Character(',')),
            ("veth[0-9]", BadGlob::Character('[')),
        ] {
            assert_eq!(text.parse::<Glob>(), Err(error), "{text}");
        }
    }

    #[test]
    fn patterns_that_no_name_can_match_are_refused() {
        for (pattern, length) in [
            ("veth1234567890abc", 17),
            ("?*????????????????", 17),
            ("a23456789012345*6", 16),
        ] {
            assert_eq!(
                pattern.parse::<Glob>(),
                Err(BadGlob::Long(length)),
                "{pattern}"
            );
        }
        assert!("a23456789012345*".parse::<Glob>().is_ok());
    }
}
