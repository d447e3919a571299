// SPDX-License-Identifier: MIT OR Apache-2.0
//! Moving to maps of other sizes without losing a flow.
//!
//! 1. New maps and programs are made in `next`; everything is copied.
//! 2. The new egress program is put *beside* the old one on every hook: each translates the
//!    replies of the flows in its own maps and leaves the others' alone.
//! 3. The new ingress program, and that of XDP, replace the old ones in place: from here on new
//!    flows are made in the new maps. What the old maps got since step 1 is copied, or merged into
//!    what is there. Until then a packet from the client of such a flow is dropped as `no_flow`,
//!    and TCP sends it again.
//! 4. `next` takes the place of the old folder, whose egress programs end with it.
//!
//! A crash before step 2 leaves a `next` without `links`: it is thrown away. A crash later leaves
//! one with `links`: the next start goes on from step 2. Every step can be repeated.

mod copy;
mod fit;

pub use fit::Misfit;

use super::{
    attach::{self, AttachError, Attacher},
    early,
    maps::Sizes,
    pin::{Folder, Hook, PinError, Pins},
};
use copy::CopyError;
use std::collections::BTreeSet;

/// What a start finds pinned, and so what it must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing of ours, or nothing that can be kept.
    Fresh,
    /// Maps of the right sizes.
    Reuse,
    /// Maps of other sizes.
    Move,
    /// A move to maps of these sizes was under way.
    Finish(Sizes),
}

/// Decides. `current` and `next` are the sizes of whole sets of maps; `links` says that the copies
/// in `next` were complete when the last agent died.
pub(super) fn decide(
    current: Option<Sizes>,
    next: Option<Sizes>,
    links: bool,
    wanted: Sizes,
) -> Start {
    match (current, next) {
        (Some(_), Some(next)) if links => Start::Finish(next),
        (Some(current), _) if current == wanted => Start::Reuse,
        (Some(_), _) => Start::Move,
        (None, _) => Start::Fresh,
    }
}

/// A move could not be made; the old maps and programs still serve.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The new sizes are too small.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// An entry could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A hook could not be switched.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A folder could not be changed.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Refuses sizes that what is pinned does not fit into. Touches nothing.
pub(super) fn check(old: &Folder, sizes: &Sizes) -> Result<(), MoveError> {
    Ok(fit::check(&fit::usage(&old.maps())?, sizes)?)
}

/// Step 1: copies everything into `next`, which then counts as filled.
pub(super) fn fill(old: &Folder, next: &Folder) -> Result<(), MoveError> {
    copy::settings(&old.maps(), &next.maps())?;
    copy::names(&old.maps(), &next.maps())?;
    let copied = copy::flows(&old.maps(), &next.maps())?;
    copied.report("copied flows to maps of other sizes");
    Ok(next.create_links()?)
}

/// What becomes of the flows in the old maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldFlows {
    /// They move.
    Copy,
    /// They end: the old maps cannot be believed.
    Drop,
}

/// Steps 2 to 4: switches every hook and lets `next` take the place of the old folder.
pub(super) fn switch(
    attacher: &mut Attacher,
    pins: &Pins,
    old_flows: OldFlows,
) -> Result<(), MoveError> {
    let (old, next) = (pins.current(), pins.next());
    let mut places: Vec<_> = old.places();
    for place in places.iter().filter(|place| place.hook == Hook::Egress) {
        skip_vanished(attacher.attach(&next, *place, Some(&old)), &next, *place)?;
    }
    for place in places.iter().filter(|place| place.hook == Hook::Ingress) {
        attach::share(&old, &next, *place)?;
        skip_vanished(attacher.attach(&next, *place, None), &next, *place)?;
    }
    for ifindex in old.xdp_links() {
        early::share(&old, &next, ifindex)?;
        early::renew(attacher, &next, ifindex)?;
    }
    if old_flows == OldFlows::Copy {
        let copied = copy::flows(&old.maps(), &next.maps())?;
        copied.report("copied again, with what came in meanwhile");
    }
    places.retain(|place| place.hook == Hook::Egress);
    retire(pins, &places.into_iter().collect())
}

/// Step 4. `beside` are the places whose old program runs beside the new one.
fn retire(pins: &Pins, beside: &BTreeSet<super::pin::Place>) -> Result<(), MoveError> {
    let (current, next, old) = (pins.current(), pins.next(), pins.old());
    for place in beside {
        attach::detach(&current, *place)?;
    }
    current.rename(&old)?;
    next.rename(&current)?;
    Ok(old.remove()?)
}

/// An interface that went while we were at it needs no program.
fn skip_vanished(
    result: Result<(), AttachError>,
    folder: &Folder,
    place: super::pin::Place,
) -> Result<(), AttachError> {
    match result {
        Err(error) if error.interface_gone() => attach::detach(folder, place).map(drop),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_goes_on_where_the_last_one_ended() {
        let size = |flows| Sizes {
            frontends: 1,
            backends: 1,
            slots: 1,
            flows,
            half_open: 1,
            affinity: 1,
        };
        let (small, large, other) = (size(1), size(2), size(3));
        for (current, next, links, wanted, start) in [
            (None, None, false, small, Start::Fresh),
            // The first start of all died half-way.
            (None, Some(small), false, small, Start::Fresh),
            (Some(small), None, false, small, Start::Reuse),
            (Some(small), None, false, large, Start::Move),
            // A move died while it was copying: from the start, or not at all any more.
            (Some(small), Some(large), false, large, Start::Move),
            (Some(small), Some(large), false, small, Start::Reuse),
            // A move died while it was switching: it is finished, whatever is wanted now.
            (Some(small), Some(large), true, large, Start::Finish(large)),
            (Some(small), Some(large), true, small, Start::Finish(large)),
            (Some(small), Some(large), true, other, Start::Finish(large)),
        ] {
            assert_eq!(
                decide(current, next, links, wanted),
                start,
                "{current:?} {next:?} {links}"
            );
        }
    }
}
