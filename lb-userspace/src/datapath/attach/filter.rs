// SPDX-License-Identifier: MIT OR Apache-2.0
//! A filter of ours on a clsact qdisc, and the note that says so: the target of a symbolic link.

use super::super::pin::{Hook, Place};
use aya::programs::{
    TcAttachType,
    tc::{SchedClassifierLink, TcHandle},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A filter of ours, as its symbolic link describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Filter {
    pub(super) priority: u16,
    pub(super) handle: u32,
    /// Whether we have made the qdisc, so that we may remove it when it is empty.
    pub(in super::super) made_qdisc: bool,
}

impl Filter {
    pub(super) fn to_text(self) -> PathBuf {
        let qdisc = if self.made_qdisc { "made" } else { "found" };
        format!("clsact:{}:{:x}:{qdisc}", self.priority, self.handle).into()
    }

    pub(super) fn from_text(text: &Path) -> Option<Self> {
        let mut parts = text.to_str()?.strip_prefix("clsact:")?.split(':');
        let filter = Self {
            priority: parts.next()?.parse().ok()?,
            handle: u32::from_str_radix(parts.next()?, 16).ok()?,
            made_qdisc: parts.next()? == "made",
        };
        parts.next().is_none().then_some(filter)
    }

    pub(super) fn link(self, place: Place) -> io::Result<SchedClassifierLink> {
        let parent = attach_type(place.hook).into();
        let handle = TcHandle::from(self.handle);
        SchedClassifierLink::attached(place.ifindex, parent, self.priority, handle, None)
    }
}

pub(super) const fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    }
}

/// Filters run by ascending priority: late at ingress, early at egress.
///
/// Not at the very ends: there must be room for others before and behind us, and for filters
/// without a wish, which the kernel puts just before the first one (`tcf_auto_prio`).
pub(super) const fn priority(hook: Hook) -> u16 {
    match hook {
        // The kernel begins to give out priorities at 49,152, downwards.
        Hook::Ingress => 60_000,
        Hook::Egress => 1_000,
    }
}

/// An even number for a pin folder; the odd one beside it serves while programs change places.
pub(super) fn handle_of(pin_dir: &Path) -> u32 {
    // FNV-1a: the same in every version of Weiche, which the standard library does not promise.
    let bytes = pin_dir.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash | 2) & !1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_written_down_and_read() {
        let filter = Filter {
            priority: 1,
            handle: 0xdead_beee,
            made_qdisc: true,
        };
        assert_eq!(Filter::from_text(&filter.to_text()), Some(filter));
        for text in [
            "",
            "clsact:",
            "clsact:1:zz:made",
            "clsact:1:2:made:more",
            "tcx:1:2:made",
        ] {
            assert_eq!(Filter::from_text(Path::new(text)), None, "{text}");
        }
    }

    #[test]
    fn handles_are_even_and_differ_by_folder() {
        let one = handle_of(Path::new("/sys/fs/bpf/weiche"));
        let other = handle_of(Path::new("/run/demo/pins"));
        assert!(one != other && one & 1 == 0 && other & 1 == 0 && one > 1);
    }
}
