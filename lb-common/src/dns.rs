// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to the DNS Service that the node answers itself, in the kernel.
//!
//! What is answered is what the agent's server would answer, to the byte; all else is left to it.
//! In the order of a query: [`question`] → [`find`] → [`answer`]; of an answer of the server's:
//! [`overhear`].

mod question;
mod find;
mod answer;
mod overhear;

pub use overhear::overhear;
pub use question::{MESSAGE, Scratch};

use crate::family::Own;
use crate::packet::Packet;
use crate::parse::Datagram;
use crate::tables::Environment;
use crate::verdict::Reason;
use crate::wire::{ResolverMode, protocol};
use find::Found;

/// Whether a client's datagram is a question for [`answer`].
///
/// Out of line, so that the verifier learns nothing that would make it follow the rest twice.
#[inline(never)]
pub fn is_asked<F: Own, T: Environment>(tables: &T, datagram: &Datagram<F::Address>) -> bool {
    let tuple = &datagram.tuple;
    if tuple.protocol != protocol::UDP || datagram.is_first != 0 {
        return false;
    }
    let Some(resolver) = tables.resolver() else {
        return false;
    };
    tuple.destination_port == resolver.port
        && ResolverMode::from_byte(resolver.mode) == ResolverMode::On
        && tuple.destination == F::resolver(&resolver)
}

/// Makes the answer of a query, whose datagram was parsed, or says nothing and changes nothing.
#[inline(always)]
pub fn answer<F: Own, P: Packet + ?Sized, T: Environment>(
    packet: &mut P,
    tables: &T,
    datagram: &Datagram<F::Address>,
    scratch: &mut Scratch,
) -> Option<Reason> {
    if !tables.resolver_whole(&mut scratch.resolver) {
        return None;
    }
    question::read::<F, P>(packet, datagram, scratch)?;
    let found = find::find::<P, T>(packet, tables, scratch)?;
    if answer::write::<F, P>(packet, datagram, scratch, found).is_err() {
        return Some(Reason::StoreFailed);
    }
    Some(match found {
        Found::Narrow | Found::Wide => Reason::NameFound,
        Found::NoData => Reason::NameEmpty,
        Found::NoName => Reason::NameUnknown,
    })
}
