// SPDX-License-Identifier: MIT OR Apache-2.0
//! The addresses of one CIDR and the order in which a name tries them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use lb_common::hash::hash;

/// More addresses than this are not looked at, however wide the CIDR is.
const MAX_SIZE: u64 = 1 << 32;

pub(super) struct Pool {
    network: IpAddr,
    /// Offsets from 1 up to this one, which is left out, are given out.
    end: u64,
    /// Where the upper band begins.
    middle: u64,
}

impl Pool {
    pub(super) fn new(cidr: &IpNet) -> Self {
        let host_bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len());
        let size = 1_u64
            .checked_shl(host_bits)
            .unwrap_or(MAX_SIZE)
            .min(MAX_SIZE);
        // The last IPv4 address is the broadcast one.
        let end = if cidr.addr().is_ipv4() {
            size - 1
        } else {
            size
        };
        // KEP-3070: the lower band is for addresses that people choose by hand (`kubernetes` and
        // the DNS among them), so it is used only when the upper one is full.
        let middle = if size <= 16 {
            1
        } else {
            (size / 16).clamp(16, 256)
        };
        Self {
            network: cidr.network(),
            end,
            middle,
        }
    }

    /// The first address that is not taken, beginning at a place that depends only on `name`: so
    /// two machines that know the same Services mostly agree, and one Service more moves no other.
    pub(super) fn first_free(&self, name: &str, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let upper = Self::from_hash(name, self.middle, self.end);
        let lower = Self::from_hash(name, 1, self.middle);
        let mut addresses = upper.chain(lower).map(|offset| self.at(offset));
        addresses.find(|address| !taken.contains(address))
    }

    /// All of `from..to`, beginning at a hash of `name`.
    fn from_hash(name: &str, from: u64, to: u64) -> impl Iterator<Item = u64> {
        let size = to.saturating_sub(from);
        let start = hash_of(name).checked_rem(size).unwrap_or(0) + from;
        (start..to.max(start)).chain(from..start.min(to))
    }

    fn at(&self, offset: u64) -> IpAddr {
        match self.network {
            IpAddr::V4(network) => {
                // The pool ends before 2^32, so the offset fits.
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                Ipv4Addr::from_bits(network.to_bits().wrapping_add(offset)).into()
            }
            IpAddr::V6(network) => {
                Ipv6Addr::from_bits(network.to_bits().wrapping_add(offset.into())).into()
            }
        }
    }
}

/// No seed: all machines are to agree, and who knows a Service's name may know its address.
fn hash_of(name: &str) -> u64 {
    let words = name.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    hash([0, 0], &words.collect::<Vec<_>>())
}
