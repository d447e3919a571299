// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Direct delivery: where a packet goes next, and getting it there.

use crate::skb::words;
use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_redir_neigh,
        bpf_redir_neigh__bindgen_ty_1,
    },
    helpers::generated::{bpf_fib_lookup, bpf_redirect_neigh, bpf_redirect_peer},
};
use lb_common::{
    delivery::{Arrival, Routed, Way},
    wire::Route,
};

/// `PACKET_HOST` of `uapi/linux/if_packet.h`: sent to our own station.
const PACKET_HOST: u32 = 0;
/// `PACKET_OTHERHOST`: sent to another station.
const PACKET_OTHERHOST: u32 = 3;

/// The interface that a packet came by which was sent to another station.
#[inline(always)]
pub(crate) fn overheard_by(skb: *mut __sk_buff) -> Option<u32> {
    // SAFETY: the kernel hands every TC program a valid context.
    let kind = unsafe { (*skb).pkt_type };
    // SAFETY: as above.
    let ifindex = unsafe { (*skb).ifindex };
    (kind == PACKET_OTHERHOST).then_some(ifindex)
}

/// What is known of a packet that was sent to this host and bears no tag.
#[inline(always)]
pub(crate) fn arrival(skb: *mut __sk_buff) -> Option<Arrival> {
    // SAFETY: the kernel hands every TC program a valid context.
    let kind = unsafe { (*skb).pkt_type };
    // SAFETY: as above.
    let is_tagged = unsafe { (*skb).vlan_present } != 0;
    if kind != PACKET_HOST || is_tagged {
        return None;
    }
    // SAFETY: as above.
    let ifindex = unsafe { (*skb).ifindex };
    // SAFETY: as above.
    let length = unsafe { (*skb).len };
    // SAFETY: as above.
    let segment = unsafe { (*skb).gso_size };
    Some(Arrival {
        ifindex,
        length,
        segment,
    })
}

/// Asks the host's routing table, rules included.
#[inline(always)]
pub(crate) fn route(skb: *mut __sk_buff, question: &mut Route) -> Routed {
    let question: *mut Route = question;
    let length = (size_of::<Route>() as u32).cast_signed();
    // SAFETY: the helper reads and writes as many bytes as the question has.
    let answer = unsafe { bpf_fib_lookup(skb.cast(), question.cast(), length, 0) };
    if answer == i64::from(BPF_FIB_LKUP_RET_SUCCESS) {
        Routed::Onwards
    } else if answer == i64::from(BPF_FIB_LKUP_RET_NO_NEIGH) {
        Routed::Unresolved
    } else {
        Routed::Nowhere
    }
}

/// Notes where the packet goes when the program ends.
#[inline(always)]
pub(crate) fn send(way: Way, route: &Route) {
    match way {
        Way::Pod => {
            // SAFETY: the helper only notes where to.
            let _redirect = unsafe { bpf_redirect_peer(route.ifindex, 0) };
        }
        Way::Neighbour => {
            let mut next = bpf_redir_neigh {
                nh_family: u32::from(route.family),
                __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 {
                    ipv6_nh: words(&route.destination),
                },
            };
            let (to, length) = (&raw mut next, (size_of_val(&next) as u32).cast_signed());
            // SAFETY: the helper reads as many bytes as the next hop has, and notes where to.
            let _redirect = unsafe { bpf_redirect_neigh(route.ifindex, to, length, 0) };
        }
    }
}
