// SPDX-License-Identifier: MIT OR Apache-2.0
//! A bad road for tests, at TC ingress of one of its ends: packets are lost, doubled, held up or
//! let overtake, and what is left of them leaves by the other end. Chance is `fate.rs`'s; how long
//! packets are held up is decided by who listens to the siding.
#![no_std]
#![no_main]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    clippy::needless_pass_by_value,
    missing_docs,
    unreachable_pub,
    reason = "in what the macro makes of a program; the kernel is the only caller"
)]

use aya_ebpf::{
    helpers::generated::bpf_redirect,
    macros::{classifier, map},
    maps::{Array, PerCpuArray},
    programs::TcContext,
};
use tests_ebpf::{
    fate::{Fate, Shares, count, fate, setting},
    plus_one,
};

/// `TC_ACT_SHOT`, `TCX_DROP`.
const DROP: i32 = 2;

/// Set at load: the link where packets leave the road.
#[unsafe(no_mangle)]
static ONWARD: u32 = 0;
/// Set at load: the link at whose other end packets are held up.
#[unsafe(no_mangle)]
static SIDING: u32 = 0;

#[map]
static SETTINGS: Array<u64> = Array::with_max_entries(setting::PLACES, 0);
/// The number of the next packet. Two processors that number packets at once may give both the
/// same one, and so the same fate: nothing else comes of it.
#[map]
static NEXT: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::PLACES, 0);

#[classifier]
pub fn road(ctx: TcContext) -> i32 {
    // SAFETY: a plain static; volatile because the loader writes it behind the compiler's back.
    let onward = unsafe { core::ptr::read_volatile(&raw const ONWARD) };
    if !is_of_a_flow(&ctx) {
        return leave_by(onward);
    }
    let shares = Shares {
        lost: setting(setting::LOST),
        doubled: setting(setting::DOUBLED),
        overtaking: setting(setting::OVERTAKING),
    };
    add(count::MET);
    let number = plus_one(NEXT.get_ptr_mut(0));
    let (twice, overtaking) = match fate(setting(setting::SEED), number, shares) {
        Fate::Lost => {
            add(count::LOST);
            return DROP;
        }
        Fate::Goes { twice, overtaking } => (twice, overtaking),
    };
    let is_held_up = setting(setting::HELD_UP) != 0 && !overtaking;
    let link = if is_held_up {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const SIDING) }
    } else {
        onward
    };
    if overtaking {
        add(count::OVERTOOK);
    }
    // The copy shares its data with the packet: nobody writes into either.
    if twice && ctx.clone_redirect(link, 0).is_ok() {
        add(count::DOUBLED);
        if is_held_up {
            add(count::HELD_UP);
        }
    }
    if is_held_up {
        add(count::HELD_UP);
    }
    leave_by(link)
}

/// Whether it is a packet that flows are made of. Others keep links alive (ARP, neighbour
/// discovery, multicast groups) or tell of errors, and come when they like: with them, a flow's
/// packets would have other numbers in each run.
fn is_of_a_flow(ctx: &TcContext) -> bool {
    let byte = |at| ctx.load::<u8>(at).unwrap_or(0);
    match [byte(12), byte(13)] {
        // IPv4, and its protocol: not ICMP.
        [0x08, 0x00] => byte(14 + 9) != 1,
        // IPv6, and its next header: neither hop-by-hop options nor ICMPv6.
        [0x86, 0xdd] => !matches!(byte(14 + 6), 0 | 58),
        _ => false,
    }
}

fn setting(place: u32) -> u64 {
    SETTINGS.get(place).copied().unwrap_or(0)
}

fn add(place: u32) {
    plus_one(COUNTS.get_ptr_mut(place));
}

/// Sends the packet out by a link.
fn leave_by(link: u32) -> i32 {
    // SAFETY: the helper only notes where to, and says what the hook is to return.
    let verdict = unsafe { bpf_redirect(link, 0) };
    i32::try_from(verdict).unwrap_or(DROP)
}

tests_ebpf::program!();
