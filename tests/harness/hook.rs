// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where programs of the tests' own meet packets.

use std::ffi::CString;

use anyhow::Result;
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttach, TcAttachType,
    tc::{self, NlOptions, TcHandle},
};

/// Puts a program at a link's ingress, in the namespace that we are in, before all others; it goes
/// with the program. By tcx, or by a filter where the kernel has no tcx yet.
pub(crate) fn attach(program: &mut SchedClassifier, link: &str) -> Result<()> {
    let tcx = TcAttach::Tcx {
        attach_type: TcAttachType::Ingress,
        order: LinkOrder::first(),
    };
    let link = CString::new(link)?;
    if program.attach(link.as_c_str(), tcx).is_ok() {
        return Ok(());
    }
    tc::qdisc_add_clsact(&link)?;
    let filter = TcAttach::Netlink {
        parent: TcAttachType::Ingress.into(),
        options: NlOptions {
            priority: 1,
            handle: TcHandle::AUTO_ASSIGN,
            classid: None,
        },
    };
    program.attach(link.as_c_str(), filter)?;
    Ok(())
}
