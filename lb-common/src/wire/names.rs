// SPDX-License-Identifier: MIT OR Apache-2.0
//! `NAMES`, `LONG_NAMES` and `RESOLVER`: what the kernel answers about names, and where it is
//! asked.

use super::seal::{mix, sealed};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words of a name's room: two of the longest labels.
pub const NAME_WORDS: usize = 16;

/// Words of a short name's room. The kernel makes a hash of all of a key, empty or not, and of the
/// whole room that takes as long as all else that is done to find a name.
pub const SHORT_WORDS: usize = 8;

/// The key of a short name.
pub type ShortLabels = [u64; SHORT_WORDS];

/// Labels as they stand in a message (RFC 1035, section 3.1), in lower case, zeros behind them. 128
/// bytes.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Labels {
    /// The bytes, in the order of memory.
    pub words: [u64; NAME_WORDS],
}

impl Labels {
    /// Bytes that there is room for.
    pub const ROOM: usize = NAME_WORDS * 8;

    /// These labels, the lowermost first; none: one of them is no label, or there is no room.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut whole = Self::default();
        let mut rest = whole.as_mut_bytes();
        for label in labels {
            let length = u8::try_from(label.len()).ok();
            let length = length.filter(|length| (1..=63).contains(length))?;
            let (first, tail) = rest.split_first_mut()?;
            *first = length;
            let (room, tail) = tail.split_at_mut_checked(label.len())?;
            room.copy_from_slice(label);
            room.make_ascii_lowercase();
            rest = tail;
        }
        Some(whole)
    }
}

impl Labels {
    /// The key in `NAMES`; none: it is one of `LONG_NAMES`.
    #[inline(always)]
    pub fn short(&self) -> Option<&ShortLabels> {
        let (short, beyond) = self.words.split_first_chunk()?;
        let mut any = 0;
        for word in beyond {
            any |= *word;
        }
        (any == 0).then_some(short)
    }

    /// The labels that have this short key.
    pub fn of_short(short: &ShortLabels) -> Self {
        let mut whole = Self::default();
        for (word, own) in whole.words.iter_mut().zip(short) {
            *word = *own;
        }
        whole
    }

    /// 64 bits that stand for this key, as [`super::fingerprint`] has them for others, but made of
    /// its first words alone: most names leave most of the room empty.
    #[inline(always)]
    pub fn identity(&self) -> u64 {
        let mut print = 0;
        for word in &self.words {
            if *word == 0 {
                break;
            }
            print = mix(print ^ *word);
        }
        print
    }
}

/// What a key is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A namespace that has Services with names.
    Namespace,
    /// A Service with addresses of its own.
    Service,
    /// Something that only the server knows all of.
    Elsewhere,
}

impl NameKind {
    /// As written in a map.
    #[inline(always)]
    pub const fn number(self) -> u32 {
        match self {
            Self::Elsewhere => 0,
            Self::Namespace => 1,
            Self::Service => 2,
        }
    }

    /// The kind that a number stands for; what nobody writes is the one of which nothing is said.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Namespace,
            2 => Self::Service,
            _ => Self::Elsewhere,
        }
    }
}

/// What a name stands for. 48 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct NameEntry {
    /// Unique for each write.
    pub version: u64,
    /// [`Labels::identity`] of the key.
    pub identity: u64,
    /// [`NameKind::number`].
    pub kind: u32,
    /// Its IPv4 address; zeros = none.
    pub narrow: [u8; 4],
    /// Its IPv6 address; zeros = none.
    pub wide: [u8; 16],
    /// Equal to `version` in a whole value.
    pub version_end: u64,
}

sealed!(NameEntry: version, version_end);

/// What the kernel does with questions to the DNS Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolverMode {
    /// Nothing.
    Off,
    /// Answers those that it can.
    On,
    /// Answers none, and shows the agent what is answered.
    Shadow,
}

impl ResolverMode {
    /// As written in a map.
    #[inline(always)]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 1,
            Self::Shadow => 2,
        }
    }

    /// The mode that a byte stands for.
    #[inline(always)]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::On,
            2 => Self::Shadow,
            _ => Self::Off,
        }
    }
}

/// Where the kernel is asked for names, and all that answers have in common; the only element of
/// an array. 232 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Resolver {
    /// Unique for each write.
    pub version: u64,
    /// Always [`Resolver::IDENTITY`], but for a map that nobody has written to.
    pub identity: u64,
    /// The DNS Service's IPv4 address; zeros = none.
    pub narrow: [u8; 4],
    /// Its UDP port, network order.
    pub port: [u8; 2],
    /// [`ResolverMode`].
    pub mode: u8,
    /// Labels of the domain.
    pub label_count: u8,
    /// The DNS Service's IPv6 address; zeros = none.
    pub wide: [u8; 16],
    /// Until when it may be said that something is not there, `CLOCK_MONOTONIC`: an agent that has
    /// died renews it no longer.
    pub negative_until_ns: u64,
    /// How long addresses may be remembered, in seconds.
    pub ttl_s: u32,
    /// How long it may be remembered that something is not there.
    pub negative_ttl_s: u32,
    /// Of which state the names are (SOA's serial number).
    pub serial: u32,
    /// Bytes of the domain, the root's zero included.
    pub origin_length: u32,
    /// The uppermost labels below the domain of which nothing is said: each as
    /// [`Resolver::passed_label`] has it; zeros = none.
    pub passed: [u64; 4],
    /// The cluster's domain.
    pub origin: Labels,
    /// Equal to `version` in a whole value.
    pub version_end: u64,
}

impl Resolver {
    /// Not zero, as in a map that nobody has written to.
    pub const IDENTITY: u64 = 53;

    /// A label's length and its first seven letters, in lower case, as one word.
    pub fn passed_label(label: &[u8]) -> u64 {
        let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
        let mut word = [length, 0, 0, 0, 0, 0, 0, 0];
        for (to, from) in word.iter_mut().skip(1).zip(label) {
            *to = from.to_ascii_lowercase();
        }
        u64::from_le_bytes(word)
    }
}

sealed!(Resolver: version, version_end);

const _: () = assert!(size_of::<Labels>() == 128);
const _: () = assert!(size_of::<NameEntry>() == 48);
const _: () = assert!(size_of::<Resolver>() == 232);
