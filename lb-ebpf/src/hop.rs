// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! What the host's routing table says, whatever the hook; and, at TC, where a packet goes next past
//! the host's stack, and getting it there.

use crate::clock;
use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_SUCCESS, bpf_redir_neigh,
        bpf_redir_neigh__bindgen_ty_1,
    },
    helpers::generated::{
        bpf_fib_lookup, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer, bpf_sk_lookup_udp,
        bpf_sk_release, bpf_skc_lookup_tcp,
    },
};
use core::ffi::c_void;
use lb_common::{
    delivery::{Arrival, Routed, Way},
    family::WideAddress,
    wire::{Route, SocketEnds, protocol},
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
    // A test's packets go nowhere.
    if clock::is_injected() {
        return None;
    }
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

/// Whether this host would not route a packet like that, which comes in by an interface.
#[inline(always)]
pub(crate) fn is_for_host(
    context: *mut c_void,
    ifindex: u32,
    family: u8,
    source: &WideAddress,
    destination: &WideAddress,
) -> bool {
    // A test's packets come from no interface that routes.
    if clock::is_injected() {
        return false;
    }
    // `struct bpf_fib_lookup` of `uapi/linux/bpf.h`, in words.
    let [s0, s1, s2, s3] = words(source);
    let [d0, d1, d2, d3] = words(destination);
    let kind = u32::from_ne_bytes([family, 0, 0, 0]);
    let mut question = [
        kind, 0, ifindex, 0, s0, s1, s2, s3, d0, d1, d2, d3, 0, 0, 0, 0,
    ];
    let (to, length) = (
        question.as_mut_ptr().cast(),
        size_of_val(&question).cast_signed() as i32,
    );
    // SAFETY: the helper reads and writes as many bytes as the question has.
    let answer = unsafe { bpf_fib_lookup(context, to, length, 0) };
    // Also where there is no route at all, or none is asked for because nothing is forwarded: then
    // nothing leaves this host.
    answer == i64::from(BPF_FIB_LKUP_RET_NOT_FWDED)
        || answer == i64::from(BPF_FIB_LKUP_RET_FWD_DISABLED)
}

/// Asks the host's routing table, rules included.
#[inline(always)]
pub(crate) fn route(context: *mut c_void, question: &mut Route) -> Routed {
    let question: *mut Route = question;
    let length = (size_of::<Route>() as u32).cast_signed();
    // SAFETY: the helper reads and writes as many bytes as the question has.
    let answer = unsafe { bpf_fib_lookup(context, question.cast(), length, 0) };
    if answer == i64::from(BPF_FIB_LKUP_RET_SUCCESS) {
        Routed::Onwards
    } else if answer == i64::from(BPF_FIB_LKUP_RET_NO_NEIGH) {
        Routed::Unresolved
    } else {
        Routed::Nowhere
    }
}

/// Whether a socket of the host's would get a packet with these ends.
#[inline(always)]
pub(crate) fn has_socket<A>(context: *mut c_void, protocol: u8, ends: &SocketEnds<A>) -> bool {
    /// `BPF_F_CURRENT_NETNS`.
    const HERE: u64 = u64::MAX;
    // A test's packets are for no socket.
    if clock::is_injected() {
        return false;
    }
    let (ends, length) = (
        core::ptr::from_ref(ends).cast_mut().cast(),
        size_of::<SocketEnds<A>>() as u32,
    );
    let socket = match protocol {
        // SAFETY: the helper reads as many bytes as the ends have.
        protocol::TCP => unsafe { bpf_skc_lookup_tcp(context, ends, length, HERE, 0) },
        // SAFETY: as above.
        protocol::UDP => unsafe { bpf_sk_lookup_udp(context, ends, length, HERE, 0) },
        _ => return false,
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: a socket that the helper has found, and that nobody else gives back.
    let _released = unsafe { bpf_sk_release(socket.cast()) };
    true
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
        Way::Station => {
            // SAFETY: the helper only notes where to.
            let _redirect = unsafe { bpf_redirect(route.ifindex, 0) };
        }
    }
}

/// An address as words in network order.
#[expect(
    clippy::many_single_char_names,
    reason = "sixteen bytes, and no difference"
)]
#[inline(always)]
fn words(address: &WideAddress) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]].map(u32::from_ne_bytes)
}
