// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which answers are like the kernel's.

use super::{Outcome, compare, query};
use crate::dns::{
    answer::{Reply, Transport, reply},
    testing::{MANIFESTS, zone},
};
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{
        Name as DomainName, RData, Record, RecordType,
        rdata::{A, CNAME},
    },
};

const SHOP: &str = "shop.default.svc.cluster.local.";

/// An answer of some server's to a question for addresses.
fn answer(name: &str, code: ResponseCode, data: &[RData]) -> Vec<u8> {
    let name = DomainName::from_ascii(name).unwrap();
    let mut message = Message::query();
    message
        .queries
        .push(Query::query(name.clone(), RecordType::A));
    let mut message = message.into_response();
    message.metadata.response_code = code;
    let records = data.iter().cloned();
    let records = records.map(|data| Record::from_rdata(name.clone(), 5, data));
    message.answers.extend(records);
    message.to_vec().unwrap()
}

/// What comes of comparing it with the zone's own answer.
fn outcome(answer: &[u8]) -> Outcome {
    let zone = zone(MANIFESTS);
    let foretold = query(answer).map(|query| reply(&zone, &query, Transport::Udp, false));
    match foretold {
        Some(Reply::Send(foretold)) => compare(answer, Some(&foretold)).0,
        _ => compare(answer, None).0,
    }
}

#[test]
fn code_and_addresses_are_compared() {
    let address = |last| RData::A(A::new(10, 96, 0, last));
    let alias = RData::CNAME(CNAME(DomainName::from_ascii(SHOP).unwrap()));
    let (fine, missing) = (ResponseCode::NoError, ResponseCode::NXDomain);
    for (name, code, data, expected) in [
        (SHOP, fine, &[address(20)][..], Outcome::Same),
        (SHOP, fine, &[address(20), address(20)], Outcome::Same),
        (SHOP, fine, &[alias, address(20)], Outcome::Same),
        (
            "SHOP.default.svc.cluster.local.",
            fine,
            &[address(20)],
            Outcome::Same,
        ),
        (SHOP, fine, &[address(21)], Outcome::Different),
        (SHOP, fine, &[address(20), address(21)], Outcome::Different),
        (SHOP, fine, &[], Outcome::Different),
        (SHOP, missing, &[], Outcome::Different),
        (SHOP, ResponseCode::ServFail, &[], Outcome::Different),
        ("no.default.svc.cluster.local.", missing, &[], Outcome::Same),
        (
            "no.default.svc.cluster.local.",
            fine,
            &[address(9)],
            Outcome::Different,
        ),
    ] {
        assert_eq!(
            outcome(&answer(name, code, data)),
            expected,
            "{name} {data:?}"
        );
    }
}

#[test]
fn what_is_no_whole_answer_is_not_compared() {
    let whole = answer(SHOP, ResponseCode::NoError, &[]);
    assert_eq!(compare(&whole, None).0, Outcome::Left);
    for length in 0..whole.len() {
        assert_eq!(outcome(&whole[..length]), Outcome::Unread, "{length} bytes");
    }
    // No response; another operation; cut; two questions.
    for (at, byte) in [(2, 0x01), (2, 0xa0), (2, 0x82), (5, 2)] {
        let mut bent = whole.clone();
        bent[at] = byte;
        assert_eq!(outcome(&bent), Outcome::Unread, "byte {at}: {byte:#x}");
    }
}

#[test]
fn a_difference_tells_both_sides() {
    let said = answer(SHOP, ResponseCode::NXDomain, &[]);
    let foretold = answer(
        SHOP,
        ResponseCode::NoError,
        &[RData::A(A::new(10, 96, 0, 20))],
    );
    let (_, difference) = compare(&said, Some(&foretold));
    assert_eq!(
        difference.unwrap().to_string(),
        "shop.default.svc.cluster.local. A is NXDOMAIN, and the kernel would say NOERROR 10.96.0.20"
    );
}
