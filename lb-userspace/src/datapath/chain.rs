// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs on a hook, ours and foreign: for checking and for `weiche status`. Removes a qdisc of
//! ours when nobody uses it any more.

mod numbers;

use super::{
    attach::Backend,
    pin::{Hook, Place},
};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use futures_util::TryStreamExt as _;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use rtnetlink::Handle;
use std::io;

/// One program or filter on a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// The program's number; `None` for filters that are no BPF programs.
    pub id: Option<u32>,
    /// The program's name, or the filter's kind; of a program whose name we may not ask for, that.
    pub name: String,
    /// By which means it got there.
    pub backend: Backend,
}

/// The hook could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The kernel refused to list programs.
    #[error("listing the programs on {0} (interface and hook)")]
    Tcx(Place, #[source] Box<ProgramError>),
    /// The kernel refused to list their numbers.
    #[error("listing the numbers of the programs on {0} (interface and hook)")]
    Numbers(Place, #[source] io::Error),
    /// The kernel refused to list or remove filters.
    #[error("asking for the filters of interface {0}")]
    Filters(u32, #[source] rtnetlink::Error),
}

/// Everything that runs on a hook, in the order in which it runs. `tcx` says whether the kernel
/// has such lists.
pub async fn list(netlink: &Handle, place: Place, tcx: bool) -> Result<Vec<Runner>, ChainError> {
    let mut all = if tcx { list_tcx(place)? } else { Vec::new() };
    all.extend(list_filters(netlink, place).await?);
    Ok(all)
}

fn list_tcx(place: Place) -> Result<Vec<Runner>, ChainError> {
    let hook = match place.hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    };
    let programs = match SchedClassifier::query_tcx(place.ifindex, hook) {
        Ok((_, programs)) => programs,
        Err(error) if is_refused(&error) => return unnamed(place),
        Err(error) => return Err(ChainError::Tcx(place, Box::new(error))),
    };
    let runner = |program: aya::programs::ProgramInfo| Runner {
        id: Some(program.id()),
        name: program.name_as_str().unwrap_or_default().to_owned(),
        backend: Backend::Tcx,
    };
    Ok(programs.into_iter().map(runner).collect())
}

/// Whether the kernel wants more rights.
fn is_refused(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    error.io_error.kind() == io::ErrorKind::PermissionDenied
}

fn unnamed(place: Place) -> Result<Vec<Runner>, ChainError> {
    let ids = numbers::of_tcx(place).map_err(|error| ChainError::Numbers(place, error))?;
    let runner = |id| Runner {
        id: Some(id),
        name: "unnamed".to_owned(),
        backend: Backend::Tcx,
    };
    Ok(ids.into_iter().map(runner).collect())
}

async fn list_filters(netlink: &Handle, place: Place) -> Result<Vec<Runner>, ChainError> {
    let failed = |error| ChainError::Filters(place.ifindex, error);
    let index = i32::try_from(place.ifindex).unwrap_or(i32::MAX);
    let request = netlink.traffic_filter(index).get();
    let request = match place.hook {
        Hook::Ingress => request.ingress(),
        Hook::Egress => request.egress(),
    };
    match request.execute().try_collect::<Vec<_>>().await {
        Ok(messages) => Ok(messages.iter().filter_map(filter).collect()),
        // Without a clsact qdisc there is no such parent.
        Err(rtnetlink::Error::NetlinkError(error))
            if matches!(
                error.raw_code().abs(),
                code if code == rustix::io::Errno::INVAL.raw_os_error()
                    || code == rustix::io::Errno::NODEV.raw_os_error()
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(failed(error)),
    }
}

/// A filter of a dump; the dump also names chains and priorities, which are no filters.
fn filter(message: &TcMessage) -> Option<Runner> {
    let mut runner = Runner {
        id: None,
        name: String::new(),
        backend: Backend::Clsact,
    };
    let mut is_filter = false;
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) if runner.name.is_empty() => kind.clone_into(&mut runner.name),
            TcAttribute::Options(options) => {
                is_filter = true;
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => runner.id = Some(*id),
                        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => {
                            name.clone_into(&mut runner.name);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    is_filter.then_some(runner)
}

/// Removes the clsact qdisc of an interface, unless it has filters: those are not ours.
pub async fn remove_empty_qdisc(netlink: &Handle, ifindex: u32) -> Result<(), ChainError> {
    for hook in Hook::ALL {
        if !list_filters(netlink, Place { ifindex, hook })
            .await?
            .is_empty()
        {
            return Ok(());
        }
    }
    let mut request = netlink
        .qdisc()
        .del(i32::try_from(ifindex).unwrap_or(i32::MAX));
    let message = request.message_mut();
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle {
        major: 0xffff,
        minor: 0,
    };
    match request.execute().await {
        // The interface has gone, and the qdisc with it.
        Err(rtnetlink::Error::NetlinkError(_)) | Ok(()) => Ok(()),
        Err(error) => Err(ChainError::Filters(ifindex, error)),
    }
}
