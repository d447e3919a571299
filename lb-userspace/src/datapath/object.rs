// SPDX-License-Identifier: MIT OR Apache-2.0
//! The embedded BPF object, and what it becomes where XDP is to run in the kernel's own code.

use super::early::XdpWish;
use std::borrow::Cow;

/// The BPF object, built by `build.rs`; empty if `AYA_BUILD_SKIP` was set then.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weiche-bpf"));

/// The section of a program of XDP that takes packets of several buffers, as a C string.
const OF_SEVERAL_BUFFERS: &[u8] = b"xdp.frags\0";

/// The object whose XDP program runs as this wish says.
///
/// The kernel's own code copies a packet for a program of several buffers, since Linux 6.9
/// (`skb_pp_cow_data`), and the copy does not know how long its link header is (`mac_len`): to the
/// programs of TC that come next, it begins with the IP header, and none of it is ours. For a
/// program of one buffer, the packet itself is made one: so its section has the shorter name then.
pub(super) fn object(wish: XdpWish) -> Cow<'static, [u8]> {
    if wish != XdpWish::Generic {
        return Cow::Borrowed(OBJECT);
    }
    let mut object = OBJECT.to_vec();
    let length = OF_SEVERAL_BUFFERS.len();
    // Names of sections stand in several tables, some of them as the end of a longer one.
    for at in 0..object.len().saturating_sub(length) {
        if object.get(at..at + length) == Some(OF_SEVERAL_BUFFERS)
            && let Some(dot) = object.get_mut(at + "xdp".len())
        {
            *dot = 0;
        }
    }
    Cow::Owned(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buffer_is_enough_for_the_kernels_own_code_alone() {
        let takes_several = |object: &[u8]| {
            let mut places = object.windows(OF_SEVERAL_BUFFERS.len());
            places.any(|bytes| bytes == OF_SEVERAL_BUFFERS)
        };
        for wish in [XdpWish::Auto, XdpWish::Native, XdpWish::Off] {
            assert_eq!(object(wish), OBJECT, "{wish:?}");
        }
        assert!(OBJECT.is_empty() || takes_several(OBJECT));
        assert!(!takes_several(&object(XdpWish::Generic)));
    }
}
