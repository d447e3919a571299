// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is decided about packets that no backend gets, and what a packet has become.

use super::{
    question::Question,
    record::{Ends, Event, Record},
};
use lb_common::{
    family::{Family, V4, V6},
    frame::{Frame, Frames},
    parse::{Datagram, ethertype, parse},
    verdict::{Reason, Verdict},
};
use std::net::{IpAddr, SocketAddr};

/// Whether the address is a Service's, whatever port was dialled. The same is asked of who dials,
/// where that may be forged.
pub(super) fn refuse(record: &Record<'_>, end: Reason) -> Option<String> {
    let dialled = record.question.dialled();
    let found = record.events.iter().find_map(|event| match event {
        Event::Service(frontend, found)
            if frontend.is_of_address() && frontend.address == dialled.address =>
        {
            Some(found)
        }
        _ => None,
    })?;
    let range = record.events.iter().find_map(|event| match event {
        Event::Range(range) => Some(range),
        _ => None,
    });
    let mut text = match (found, range) {
        (Err(_torn), _) => "the address's entry was overwritten while it was read".to_owned(),
        (Ok(Some(_)), _) => format!("{} is a Service's, which has no such port", dialled.address),
        (Ok(None), Some(range)) => {
            let is_in = match dialled.address {
                IpAddr::V4(address) => range.holds(&V4::widen(address.octets())),
                IpAddr::V6(address) => range.holds(&V6::widen(address.octets())),
            };
            let is_in = if is_in { "in" } else { "outside of" };
            format!(
                "no Service has {}, which is {is_in} the range that they get theirs from",
                dialled.address
            )
        }
        (Ok(None), None) => format!("no Service has {}", dialled.address),
    };
    if record.is_of_others && end.verdict() != Verdict::Pass {
        text.push_str("; if the node itself has this address, the packet passes instead");
    }
    Some(text)
}

/// Whether the node may answer once more.
pub(super) fn account(record: &Record<'_>, end: Reason) -> Option<String> {
    let is_paid = record
        .events
        .iter()
        .any(|event| matches!(event, Event::Settled(true)));
    match end {
        Reason::AnswerLimit => Some("this node has answered as often as it may".to_owned()),
        _ if is_paid => Some("this node may answer once more".to_owned()),
        _ => None,
    }
}

/// What has become of the frame.
pub(super) fn rewrite(question: &Question, end: Reason, after: &[u8]) -> String {
    if end.verdict() == Verdict::Drop {
        return "nothing: it is dropped".to_owned();
    }
    match ends_now(after) {
        Some(now) if now == question.ends() => "nothing: it stays as it is".to_owned(),
        Some([from, to]) if end.verdict() == Verdict::Answer => {
            format!("a reset, {from} -> {to}")
        }
        Some([from, to]) => format!("{from} -> {to}"),
        None => format!(
            "an ICMP error to {}: port unreachable",
            question.client().ip()
        ),
    }
}

/// Whether the packet passes the host's stack by. What the routing table says of it is not asked:
/// it would have to come in by a link.
pub(super) fn delivery(record: &Record<'_>, end: Reason) -> Option<&'static str> {
    if end != Reason::Forwarded {
        return None;
    }
    Some(match record.node.direct_until_ns {
        0 => "through the host's stack: direct delivery is off, and `weiche status` says why",
        until_ns if until_ns <= record.now_ns => {
            "through the host's stack: nobody has looked lately whether it would see the packet"
        }
        _ => {
            "past the host's stack, if it fits, and routes lead to the pod by another link and \
             back to the client by the one that it came by"
        }
    })
}

/// Who sends a frame of either family to whom, if it has ports.
pub(super) fn ends_now(frame: &[u8]) -> Option<Ends> {
    let mut frames = Frames::new();
    match ethertype(frame) {
        Ok(V4::ETHERTYPE) => ends::<V4>(frame, &mut frames.narrow),
        Ok(V6::ETHERTYPE) => ends::<V6>(frame, &mut frames.wide),
        Ok(_) | Err(_) => None,
    }
}

fn ends<F: Family<Address: Into<IpAddr>>>(
    frame: &[u8],
    parsed: &mut Frame<F::Address>,
) -> Option<Ends> {
    parse::<F, _>(frame, &mut parsed.datagram).ok()?;
    let Datagram { tuple, .. } = parsed.datagram;
    let at = |address: F::Address, port| SocketAddr::new(address.into(), u16::from_be_bytes(port));
    Some([
        at(tuple.source, tuple.source_port),
        at(tuple.destination, tuple.destination_port),
    ])
}
