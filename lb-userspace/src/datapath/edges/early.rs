// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which uplinks have XDP, and why the others have not.

use super::{
    super::{
        attach::Attacher,
        early::{self, Early, XdpWish},
        pin::Folder,
    },
    choose::{Choice, Nic, Role},
};
use crate::causes::with_causes;
use std::collections::BTreeMap;

/// What is said once of an uplink without.
const TC_ALONE: &str = "no XDP here, so TC alone serves, which does the same and takes longer";

/// What became of it at the uplinks.
#[derive(Debug)]
pub(super) struct Uplinks {
    wish: XdpWish,
    /// The number of our program.
    ours: Option<u32>,
    states: BTreeMap<u32, State>,
}

#[derive(Debug)]
enum State {
    Runs(Early),
    /// Not, for a reason, while this program was there.
    Lacking {
        why: String,
        beside: Option<u32>,
    },
}

impl Uplinks {
    pub(super) fn new(wish: XdpWish, attacher: &mut Attacher) -> Self {
        Self {
            wish,
            ours: attacher.xdp_id().ok(),
            states: BTreeMap::new(),
        }
    }

    /// Attaches where it should run, and detaches elsewhere.
    pub(super) fn settle(
        &mut self,
        attacher: &mut Attacher,
        folder: &Folder,
        choices: &BTreeMap<u32, Choice>,
    ) {
        let is_uplink = |choice: &Choice| choice.role == Role::Uplink && choice.refusal.is_none();
        let uplinks = || choices.iter().filter(|(_, choice)| is_uplink(choice));
        self.states
            .retain(|ifindex, _| choices.get(ifindex).is_some_and(is_uplink));
        for (ifindex, choice) in uplinks() {
            match self.how(&choice.nic) {
                Some(Ok(how)) => self.run(attacher, folder, *ifindex, choice, how),
                Some(Err(why)) => self.decline(*ifindex, choice, why),
                None => {}
            }
        }
        for ifindex in folder.xdp_links() {
            let runs = matches!(self.states.get(&ifindex), Some(State::Runs(_)));
            if !runs && let Err(error) = early::detach(folder, ifindex) {
                tracing::warn!(ifindex, "{}", with_causes(&error));
            }
        }
    }

    /// How it should run at an uplink, or why it should not; none: nobody wants it.
    fn how(&self, nic: &Nic) -> Option<Result<Early, &'static str>> {
        match self.wish {
            XdpWish::Off => None,
            XdpWish::Native => Some(Ok(Early::Native)),
            XdpWish::Generic => Some(Ok(Early::Generic)),
            XdpWish::Auto => Some(match nic {
                Nic { is_veth: true, .. } => Err(
                    "packets that a veth link brings have checksums that are left to be made \
                     (--xdp native, where all who send there make them)",
                ),
                Nic {
                    has_vlans: true, ..
                } => Err(
                    "VLANs are on top of it, whose tags a NIC may have taken off by then (--xdp \
                     native, where it does not)",
                ),
                _ => Ok(Early::Native),
            }),
        }
    }

    fn run(
        &mut self,
        attacher: &mut Attacher,
        folder: &Folder,
        ifindex: u32,
        choice: &Choice,
        how: Early,
    ) {
        let there = choice.nic.xdp;
        let id = there.map(|there| there.id);
        // An earlier run's, or this one's.
        if id.is_some() && id == self.ours && there.and_then(|there| there.how) == Some(how) {
            self.states.insert(ifindex, State::Runs(how));
            return;
        }
        let is_known = |state: &State| match state {
            State::Runs(_) => false,
            State::Lacking { beside, .. } => *beside == id,
        };
        if self.states.get(&ifindex).is_some_and(is_known) {
            return;
        }
        match early::attach(attacher, folder, ifindex, how) {
            Ok(()) => {
                tracing::info!(interface = choice.name, ifindex, ?how, "serving by XDP");
                self.states.insert(ifindex, State::Runs(how));
            }
            Err(error) if error.interface_gone() => {}
            Err(error) => {
                let why = with_causes(&error);
                tracing::warn!(interface = choice.name, ifindex, "{TC_ALONE}: {why}");
                self.lack(ifindex, choice, why);
            }
        }
    }

    /// Does without, and says so once.
    fn decline(&mut self, ifindex: u32, choice: &Choice, why: &str) {
        if !matches!(self.states.get(&ifindex), Some(State::Lacking { .. })) {
            tracing::info!(interface = choice.name, ifindex, "{TC_ALONE}: {why}");
        }
        self.lack(ifindex, choice, why.to_owned());
    }

    fn lack(&mut self, ifindex: u32, choice: &Choice, why: String) {
        let beside = choice.nic.xdp.map(|there| there.id);
        self.states.insert(ifindex, State::Lacking { why, beside });
    }

    /// How XDP runs at an uplink; why it does not, as a sentence.
    pub(super) fn state(&self, ifindex: u32) -> (Option<Early>, String) {
        match self.states.get(&ifindex) {
            Some(State::Runs(how)) => (Some(*how), String::new()),
            Some(State::Lacking { why, .. }) => (None, why.clone()),
            None => (None, String::new()),
        }
    }

    /// Another's XDP program at an interface.
    pub(super) fn foreign(&self, choice: &Choice) -> Option<u32> {
        let id = choice.nic.xdp?.id;
        (Some(id) != self.ours).then_some(id)
    }
}
