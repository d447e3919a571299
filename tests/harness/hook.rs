// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where programs of the tests' own meet packets.

use std::ffi::CString;

use anyhow::Result;
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttach, TcAttachType,
    tc::{self, NlOptions, TcHandle},
};

/// Puts a program at one of a link's hooks, in the namespace that we are in, before all others; it
/// goes with the program. By tcx, or by a filter where the kernel has no tcx yet.
pub(crate) fn attach(program: &mut SchedClassifier, link: &str, at: TcAttachType) -> Result<()> {
    let tcx = TcAttach::Tcx {
        attach_type: at,
        order: LinkOrder::first(),
    };
    let link = CString::new(link)?;
    if program.attach(link.as_c_str(), tcx).is_ok() {
        return Ok(());
    }
    // It is there after the first one.
    let _made = tc::qdisc_add_clsact(&link);
    let filter = TcAttach::Netlink {
        parent: at.into(),
        options: NlOptions {
            priority: 1,
            handle: TcHandle::AUTO_ASSIGN,
            classid: None,
        },
    };
    program.attach(link.as_c_str(), filter)?;
    Ok(())
}
