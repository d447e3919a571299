// SPDX-License-Identifier: MIT OR Apache-2.0
//! Codes, flags and sizes of answers, and queries that are none.

use super::{Reply, Transport, reply};
use crate::dns::{testing, zone::Zone};
use hickory_proto::{
    op::{Edns, Message, OpCode, Query},
    rr::{DNSClass, Name as DomainName, RData, RecordType},
};
use proptest::prelude::*;
use std::{fmt::Write as _, str::FromStr as _, sync::LazyLock};

static ZONE: LazyLock<Zone> = LazyLock::new(|| testing::zone(testing::MANIFESTS));

fn query(name: &str, kind: RecordType, edns: Option<u16>) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0x1234;
    message.metadata.recursion_desired = true;
    let name = DomainName::from_ascii(name).unwrap();
    message.queries.push(Query::query(name, kind));
    message.edns = edns.map(|size| {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        edns
    });
    message
}

fn bytes_of(reply: Reply) -> Vec<u8> {
    match reply {
        Reply::Send(bytes) => bytes,
        Reply::Ask(ask) => ask.failure(),
        Reply::Ignore => panic!("no answer"),
    }
}

fn answer(query: &Message, transport: Transport) -> Message {
    let bytes = bytes_of(reply(&ZONE, &query.to_vec().unwrap(), transport, true));
    Message::from_vec(&bytes).unwrap()
}

/// Code, flags, and how many records there are in each section.
fn described(message: &Message) -> String {
    let it = &message.metadata;
    let mut flags = String::new();
    for (is_set, flag) in [
        (it.authoritative, "aa"),
        (it.truncation, "tc"),
        (it.recursion_desired, "rd"),
        (it.recursion_available, "ra"),
    ] {
        if is_set {
            write!(flags, "{flag} ").unwrap();
        }
    }
    format!(
        "{:?} {flags}{}/{}/{}/{}{}",
        it.response_code,
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
        message.additionals.len(),
        if message.edns.is_some() { " edns" } else { "" }
    )
}

#[test]
fn codes_and_flags() {
    let shop = "shop.default.svc.cluster.local.";
    for (name, kind, edns, expected) in [
        (shop, "A", None, "NoError aa rd ra 1/1/0/0"),
        (shop, "A", Some(1_232), "NoError aa rd ra 1/1/0/0 edns"),
        (shop, "MX", None, "NoError aa rd ra 1/0/1/0"),
        (
            "no.default.svc.cluster.local.",
            "A",
            None,
            "NXDomain aa rd ra 1/0/1/0",
        ),
        (
            "_http._tcp.shop.default.svc.cluster.local.",
            "SRV",
            None,
            "NoError aa rd ra 1/1/0/2",
        ),
        (
            "_sql._tcp.db.default.svc.cluster.local.",
            "SRV",
            None,
            "NoError aa rd ra 1/2/0/3",
        ),
        (shop, "AXFR", None, "Refused rd ra 1/0/0/0"),
        (
            "alias.default.svc.cluster.local.",
            "A",
            None,
            "NoError aa rd ra 1/2/0/0",
        ),
        (
            "alias.default.svc.cluster.local.",
            "CNAME",
            None,
            "NoError aa rd ra 1/1/0/0",
        ),
        (
            "alias.default.svc.cluster.local.",
            "MX",
            None,
            "NoError aa rd ra 1/1/1/0",
        ),
        (
            "circle.default.svc.cluster.local.",
            "A",
            None,
            "ServFail rd ra 1/0/0/0",
        ),
        // Nobody was there to be asked.
        (
            "docs.default.svc.cluster.local.",
            "A",
            None,
            "ServFail rd ra 1/0/0/0",
        ),
        ("www.example.com.", "A", None, "ServFail rd ra 1/0/0/0"),
    ] {
        let kind = RecordType::from_str(kind).unwrap();
        let answer = answer(&query(name, kind, edns), Transport::Udp);
        assert_eq!(answer.metadata.id, 0x1234);
        assert_eq!(described(&answer), expected, "{name} {kind}");
    }
}

#[test]
fn with_nobody_to_ask_other_names_are_refused() {
    let query = query("www.example.com.", RecordType::A, None)
        .to_vec()
        .unwrap();
    let refused = Message::from_vec(&bytes_of(reply(&ZONE, &query, Transport::Udp, false)));
    assert_eq!(described(&refused.unwrap()), "Refused rd ra 1/0/0/0");
}

#[test]
fn what_is_no_plain_query_gets_its_own_code() {
    let shop = "shop.default.svc.cluster.local.";
    let plain = || query(shop, RecordType::A, Some(1_232));
    let mut chaos = plain();
    chaos.queries[0].query_class = DNSClass::CH;
    let mut newer = plain();
    newer.edns.as_mut().unwrap().set_version(1);
    let mut update = plain();
    update.metadata.op_code = OpCode::Notify;
    let bytes = |message: Message| message.to_vec().unwrap();
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut query = bytes(query(shop, RecordType::A, None));
        change(&mut query);
        query
    };
    // Code 16 has two names; with EDNS, it is BADVERS (RFC 6891).
    for (what, query, expected) in [
        ("another class", bytes(chaos), "Refused rd ra 1/0/0/0 edns"),
        ("a newer EDNS", bytes(newer), "BADSIG rd ra 1/0/0/0 edns"),
        ("another operation", bytes(update), "NotImp rd 0/0/0/0"),
        ("no question", changed(|it| it[5] = 0), "FormErr rd 0/0/0/0"),
        (
            "two questions",
            changed(|it| it[5] = 2),
            "FormErr rd 0/0/0/0",
        ),
        (
            "cut off",
            changed(|it| it.truncate(20)),
            "FormErr rd 0/0/0/0",
        ),
        (
            "a count that lies",
            changed(|it| it[7] = 255),
            "FormErr rd 0/0/0/0",
        ),
        (
            "a name in a circle",
            changed(|it| it[12..14].copy_from_slice(&[0xc0, 12])),
            "FormErr rd 0/0/0/0",
        ),
    ] {
        let bytes = bytes_of(reply(&ZONE, &query, Transport::Udp, true));
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(described(&answer), expected, "{what}");
        assert_eq!(answer.metadata.id, 0x1234, "{what}");
    }
    for (what, query) in [
        ("nothing", Vec::new()),
        ("less than a header", vec![0; 11]),
        ("an answer", changed(|it| it[2] |= 0x80)),
    ] {
        assert_eq!(
            reply(&ZONE, &query, Transport::Udp, true),
            Reply::Ignore,
            "{what}"
        );
    }
}

/// Resolvers hide chance in the case of letters, and look whether it comes back.
#[test]
fn the_question_comes_back_as_it_was_asked() {
    let name = "sHOP.deFAULT.svc.CLUSTER.local.";
    let answer = answer(&query(name, RecordType::A, None), Transport::Udp);
    assert_eq!(answer.queries[0].name.to_ascii(), name);
    assert_eq!(answer.answers[0].name.to_ascii(), name);
}

/// A headless Service of three hundred Pods: 16 bytes each, and a head.
static CROWD: LazyLock<Zone> = LazyLock::new(|| {
    let mut text = "apiVersion: v1\nkind: Service\nmetadata: {name: crowd}\n\
                    spec: {clusterIP: None, selector: {app: crowd}, \
                    ports: [{name: sql, port: 5432}]}\n\
                    ---\napiVersion: v1\nkind: Service\nmetadata: {name: alias}\n\
                    spec: {type: ExternalName, externalName: crowd.default.svc.cluster.local.}\n"
        .to_owned();
    for number in 0..300 {
        let (high, low) = (number / 256, number % 256);
        write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{number}, labels: {{app: crowd}}}}\n\
             status: {{podIP: 10.2.{high}.{low}, \
             conditions: [{{type: Ready, status: \"True\"}}]}}\n"
        )
        .unwrap();
    }
    testing::zone(&text)
});

#[test]
fn answers_fit_and_say_so_when_they_are_cut() {
    use Transport::{Tcp, Udp};
    let name = "crowd.default.svc.cluster.local.";
    for (transport, edns, limit, whole) in [
        (Udp, None, 512, false),
        (Udp, Some(100), 512, false),
        (Udp, Some(512), 512, false),
        (Udp, Some(1_232), 1_232, false),
        (Udp, Some(4_096), 1_232, false),
        (Tcp, None, 65_535, true),
        (Tcp, Some(512), 65_535, true),
    ] {
        let query = query(name, RecordType::A, edns).to_vec().unwrap();
        let bytes = bytes_of(reply(&CROWD, &query, transport, true));
        assert!(
            bytes.len() <= limit,
            "{transport:?} {edns:?}: {}",
            bytes.len()
        );
        // No more is left out than has to be.
        assert!(
            whole || bytes.len() > limit - 16,
            "{transport:?} {edns:?}: {}",
            bytes.len()
        );
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(answer.metadata.truncation, !whole);
        assert_eq!(answer.answers.len() == 300, whole);
        assert_eq!(
            answer.edns.is_some(),
            edns.is_some(),
            "{transport:?} {edns:?}"
        );
    }
}

/// Records of one name have it once, and are whole, whichever name was asked for.
#[test]
fn a_name_is_written_once() {
    let of = |name, kind, transport| {
        let query = query(name, kind, None).to_vec().unwrap();
        let bytes = bytes_of(reply(&CROWD, &query, transport, true));
        (bytes.len(), Message::from_vec(&bytes).unwrap())
    };
    let name = "crowd.default.svc.cluster.local.";
    // A header, and the question.
    let head = 12 + 33 + 4;
    let (length, answer) = of(name, RecordType::A, Transport::Tcp);
    assert_eq!(length, head + 300 * 16);
    let names = answer.answers.iter().map(|it| it.name.to_ascii());
    assert!(names.into_iter().all(|it| it == name));

    let alias = "alias.default.svc.cluster.local.";
    let (length, answer) = of(alias, RecordType::A, Transport::Tcp);
    assert_eq!(length, head + (12 + 8) + 300 * 16);
    let [first, rest @ ..] = &answer.answers[..] else {
        panic!("no answers");
    };
    assert_eq!(first.name.to_ascii(), alias);
    assert!(rest.iter().all(|it| it.name.to_ascii() == name));
    let addresses: std::collections::BTreeSet<_> = rest.iter().map(|it| it.data.clone()).collect();
    assert_eq!(addresses.len(), 300);
}

/// What comes along with ports is all there, or not at all.
#[test]
fn addresses_of_targets_are_whole() {
    let name = "_sql._tcp.crowd.default.svc.cluster.local.";
    for (transport, answers, glue) in [(Transport::Tcp, 300, 300), (Transport::Udp, 7, 0)] {
        let query = query(name, RecordType::SRV, None).to_vec().unwrap();
        let bytes = bytes_of(reply(&CROWD, &query, transport, true));
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(
            (answer.answers.len(), answer.additionals.len()),
            (answers, glue)
        );
        let targets = answer.answers.iter().map(|it| match &it.data {
            RData::SRV(server) => server.target.clone(),
            other => panic!("{other}"),
        });
        let targets: std::collections::BTreeSet<_> = targets.collect();
        assert_eq!(targets.len(), answers);
        assert!(
            answer
                .additionals
                .iter()
                .all(|it| targets.contains(&it.name))
        );
    }
}

/// Whoever takes the first answer gets another one the next time.
#[test]
fn the_first_answer_is_not_always_the_same() {
    let mut firsts = std::collections::BTreeSet::new();
    for id in 0..300 {
        let mut query = query("crowd.default.svc.cluster.local.", RecordType::A, None);
        query.metadata.id = id;
        let query = query.to_vec().unwrap();
        let bytes = bytes_of(reply(&CROWD, &query, Transport::Udp, true));
        let answer = Message::from_vec(&bytes).unwrap();
        let RData::A(address) = answer.answers[0].data else {
            panic!("no address");
        };
        firsts.insert(address.0);
    }
    assert_eq!(firsts.len(), 300);
}

/// Something like a query: a real one, with bytes changed, cut off, or put in.
fn mutilated() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "shop.default.svc.cluster.local.",
        "_sql._tcp.db.default.svc.cluster.local.",
        "alias.default.svc.cluster.local.",
        "20.0.96.10.in-addr.arpa.",
        "www.example.com.",
    ]);
    let kinds = prop::sample::select(vec![1_u16, 5, 6, 12, 16, 28, 33, 41, 250, 255]);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..8);
    (names, kinds, prop::option::of(any::<u16>()), changes).prop_map(
        |(name, kind, edns, changes)| {
            let mut bytes = query(name, kind.into(), edns).to_vec().unwrap();
            for (place, byte, how) in changes {
                let place = place.index(bytes.len());
                match how {
                    0 => bytes[place] = byte,
                    1 => bytes.insert(place, byte),
                    _ => bytes.truncate(place.max(1)),
                }
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Nothing that arrives ends the server, and nothing makes it say more than it may.
    #[test]
    fn anything_may_arrive(query in mutilated(), tcp: bool) {
        let (transport, limit) = if tcp {
            (Transport::Tcp, 65_535)
        } else {
            (Transport::Udp, 1_232)
        };
        let bytes = match reply(&ZONE, &query, transport, true) {
            Reply::Ignore => return Ok(()),
            Reply::Send(bytes) => bytes,
            Reply::Ask(ask) => {
                // Whatever comes back is as much of a stranger's making.
                let further = ask.complete(&query);
                prop_assert!(further.len() <= limit);
                ask.failure()
            }
        };
        prop_assert!((12..=limit).contains(&bytes.len()));
        prop_assert_eq!(&bytes[..2], &query[..2]);
        prop_assert!(bytes[2] & 0x80 != 0);
        prop_assert!(Message::from_vec(&bytes).is_ok());
    }
}
