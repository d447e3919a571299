// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to the DNS Service: the kernel answers as the server would, to the byte, or leaves it.

mod compare;

use crate::play::{Cast, Play, play};
use lb_common::{
    dns::MESSAGE,
    verdict::Reason::{self, Forwarded, NameEmpty, NameFound, NameUnknown, Replied},
    wire::{Resolver, ResolverMode, protocol::UDP},
};
use lb_userspace::{
    config::dns::Dns,
    dns::{
        answer::{Reply, Transport, reply},
        zone::Zone,
    },
    model::{Change, Name, World},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tests::{
    control::objects,
    names::{Query, zone},
    packet::{Extension, udp},
};

/// A row with a DNS Service that pods serve, and a zone of which the kernel has the names.
fn asked(row: impl Fn(&mut Play<'_>, &Zone)) {
    let zone = zone();
    play(|play| {
        let Cast {
            service,
            pods: [pod, ..],
            ..
        } = play.cast;
        play.service(service, UDP, &[pod]);
        play.names(&zone, service);
        row(play, &zone);
    });
}

/// The query is answered as the server would answer it.
#[track_caller]
fn answers(play: &mut Play<'_>, zone: &Zone, query: &Query, reason: Reason) {
    let Cast {
        client, service, ..
    } = play.cast;
    let query = query.bytes();
    let Reply::Send(answer) = reply(zone, &query, Transport::Udp, true) else {
        panic!("the server has no answer to {query:?}");
    };
    let question = udp(client, service).payload(&query);
    play.ingress(&question)
        .answers(reason, &question.datagram_back(&answer));
    assert_eq!(play.flows(), [0, 0], "an answer leaves nothing behind");
}

/// The query goes to the server.
#[track_caller]
fn is_left(play: &mut Play<'_>, query: &[u8]) {
    let Cast {
        client,
        service,
        pods: [pod, ..],
        ..
    } = play.cast;
    let question = udp(client, service).payload(query);
    play.ingress(&question)
        .becomes(Forwarded, &udp(client, pod).payload(query));
}

/// Names of all lengths, so that answers begin at odd and at even places.
#[test]
fn what_is_known_is_answered() {
    asked(|play, zone| {
        for (name, kind, reason) in [
            ("shop.default.svc.cluster.local", 1, NameFound),
            ("shop.default.svc.cluster.local", 28, NameFound),
            ("ShOp.deFault.sVc.CLUSTER.loCal", 1, NameFound),
            ("lonely.default.svc.cluster.local", 1, NameFound),
            ("lonely.default.svc.cluster.local", 28, NameEmpty),
            ("shop.default.svc.cluster.local", 65, NameEmpty),
            ("shop.default.svc.cluster.local", 5, NameEmpty),
            ("default.svc.cluster.local", 1, NameEmpty),
            ("nowhere.svc.cluster.local", 1, NameUnknown),
            ("nobody.default.svc.cluster.local", 1, NameUnknown),
            ("www.example.com.default.svc.cluster.local", 28, NameUnknown),
            ("www.example.com.svc.Cluster.local", 1, NameUnknown),
            ("www.example.com.cluster.local", 1, NameUnknown),
            ("www.cluster.local", 33, NameUnknown),
            ("db-0.shop.default.svc.cluster.local", 1, NameUnknown),
        ] {
            for query in [
                Query::of(name, kind),
                Query::of(name, kind).opt(1_232),
                Query::of(name, kind).opt(0).cookie(),
                Query::of(name, kind).flags(0x0010),
                Query::of(name, kind).flags(0x0120).id(0xffff),
            ] {
                answers(play, zone, &query, reason);
            }
        }
    });
}

/// Short ones and long ones are in different maps.
#[test]
fn names_of_all_lengths_are_answered() {
    let labels = [(1, 1), (30, 31), (31, 31), (31, 32), (63, 1), (63, 63)];
    let names: Vec<Name> = labels
        .map(|(service, namespace)| Name::new(&"n".repeat(namespace), &"s".repeat(service)))
        .to_vec();
    let mut world = World::new("node");
    for (name, last) in names.iter().zip(1..) {
        let service = objects::service(name.clone(), [10, 96, 7, last].into());
        world.apply(Change::Service(Arc::new(service)));
    }
    let mut zone = Dns::default().zone();
    zone.update(&world, &names, 1);
    play(|play| {
        let service = play.cast.service;
        play.service(service, UDP, &[play.cast.pods[0]]);
        play.names(&zone, service);
        for it in &names {
            let (namespace, name) = (&it.namespace, &it.name);
            let there = format!("{name}.{namespace}.svc.cluster.local");
            answers(play, &zone, &Query::of(&there, 1), NameFound);
            answers(play, &zone, &Query::of(&there, 28), NameEmpty);
            let missing = format!("x{}.{namespace}.svc.cluster.local", &name[1..]);
            answers(play, &zone, &Query::of(&missing, 1), NameUnknown);
        }
    });
}

/// The program keeps a copy, as long as that is what was written last.
#[test]
fn what_all_answers_share_follows_its_map() {
    asked(|play, zone| {
        let Cast {
            client, service, ..
        } = play.cast;
        let query = Query::of("shop.default.svc.cluster.local", 1).bytes();
        let Reply::Send(mut answer) = reply(zone, &query, Transport::Udp, true) else {
            panic!("the server has no answer");
        };
        let question = udp(client, service).payload(&query);
        for (version, ttl_s) in [(1, 1), (2, 2), (2, 2), (3, 5), (0, 6), (0, 7)] {
            let resolver = &mut play.twin.memory.resolver;
            (resolver.version, resolver.version_end) = (version, version);
            resolver.ttl_s = ttl_s;
            play.copy();
            answer[query.len() + 6..][..4].copy_from_slice(&ttl_s.to_be_bytes());
            play.ingress(&question)
                .answers(NameFound, &question.datagram_back(&answer));
        }
        play.twin.memory.resolver.version += 1;
        play.copy();
        is_left(play, &query);
    });
}

#[test]
fn what_only_the_server_knows_is_left_to_it() {
    asked(|play, _| {
        for (name, kind) in [
            ("cluster.local", 6),
            ("svc.cluster.local", 1),
            ("dns-version.cluster.local", 16),
            ("dns.cluster.local", 1),
            ("a.dns.cluster.local", 1),
            ("hostmaster.cluster.local", 1),
            ("db.default.svc.cluster.local", 1),
            ("db-0.db.default.svc.cluster.local", 1),
            ("docs.default.svc.cluster.local", 1),
            ("_http._tcp.shop.default.svc.cluster.local", 33),
            ("_tcp.shop.default.svc.cluster.local", 33),
            ("shop.default.svc.cluster.local", 255),
            ("shop.default.svc.cluster.local", 252),
            ("shop.default.svc.cluster.local", 41),
            ("www.example.com", 1),
            ("xcluster.local", 1),
            ("shop.default.svc.cluster.locale", 1),
            ("20.0.96.10.in-addr.arpa", 12),
            ("", 2),
        ] {
            is_left(play, &Query::of(name, kind).bytes());
        }
        let plain = || Query::of("shop.default.svc.cluster.local", 1);
        for query in [
            plain().class(3),
            plain().class(255),
            plain().flags(0x8000),
            plain().flags(0x0800),
            plain().flags(0x0200),
            plain().flags(0x0040),
            plain().opt(1_232).version(1),
            plain().opt(1_232).option(8, &[0, 1, 0, 0]),
            plain().opt(1_232).option(10, &[0; 16]),
            plain().questions(2),
            plain().questions(0),
        ] {
            is_left(play, &query.bytes());
        }
        let bytes = plain().bytes();
        for length in 1..bytes.len() {
            is_left(play, &bytes[..length]);
        }
        is_left(play, &[&bytes[..], &[0]].concat());
        let mut pointed = bytes.clone();
        pointed[12] = 0xc0;
        is_left(play, &pointed);
    });
}

#[test]
fn what_is_excepted_is_left_to_the_server() {
    asked(|play, _| {
        let resolver = &mut play.twin.memory.resolver;
        resolver.passed = [b"kubernetes".as_slice(), b"pod", b"", b""].map(Resolver::passed_label);
        play.copy();
        for name in [
            "10-0-0-1.default.pod.cluster.local",
            "pod.cluster.local",
            "x.POD.cluster.local",
            "x.Kubernetes.cluster.local",
        ] {
            is_left(play, &Query::of(name, 1).bytes());
        }
    });
    asked(|play, zone| {
        let resolver = &mut play.twin.memory.resolver;
        resolver.passed = [b"pod".as_slice(), b"", b"", b""].map(Resolver::passed_label);
        play.copy();
        for name in ["pods", "po", "pod.x", "pod.default.svc"] {
            let query = Query::of(&format!("{name}.cluster.local"), 1);
            answers(play, zone, &query, NameUnknown);
        }
    });
}

#[test]
fn what_is_not_there_is_said_under_a_lease_only() {
    asked(|play, zone| {
        let missing = Query::of("nobody.default.svc.cluster.local", 1);
        answers(play, zone, &missing, NameUnknown);
        play.twin.memory.resolver.negative_until_ns = play.twin.memory.now_ns;
        play.copy();
        let found = Query::of("shop.default.svc.cluster.local", 1);
        answers(play, zone, &found, NameFound);
        is_left(play, &missing.bytes());
        is_left(
            play,
            &Query::of("lonely.default.svc.cluster.local", 28).bytes(),
        );
    });
}

#[test]
fn nothing_is_answered_that_was_not_asked_there() {
    asked(|play, _| {
        let Cast {
            client,
            service,
            other,
            pods: [_, pod, third],
            ..
        } = play.cast;
        play.service(other, UDP, &[pod]);
        let query = Query::of("shop.default.svc.cluster.local", 1).bytes();
        let elsewhere = udp(client, other).payload(&query);
        play.ingress(&elsewhere)
            .becomes(Forwarded, &udp(client, pod).payload(&query));
        let other_port = SocketAddr::new(service.ip(), service.port() + 1);
        play.service(other_port, UDP, &[third]);
        let elsewhere = udp(client, other_port).payload(&query);
        play.ingress(&elsewhere)
            .becomes(Forwarded, &udp(client, third).payload(&query));
        play.twin.memory.resolver.mode = ResolverMode::Off.byte();
        play.copy();
        is_left(play, &query);
    });
}

#[test]
fn the_agent_is_shown_what_others_answer_where_it_compares() {
    asked(|play, _| {
        let Cast {
            client,
            service,
            other,
            pods: [pod, third, _],
            ..
        } = play.cast;
        play.service(other, UDP, &[third]);
        let query = Query::of("shop.default.svc.cluster.local", 1).bytes();
        for (mode, is_shown) in [(ResolverMode::Shadow, true), (ResolverMode::Off, false)] {
            play.twin.memory.resolver.mode = mode.byte();
            play.copy();
            is_left(play, &query);
            for length in [0, 1, 300, MESSAGE, MESSAGE + 1, 1_232] {
                let answer = vec![7; length];
                let back = |from| udp(from, client).payload(&answer);
                play.egress(&back(pod)).becomes(Replied, &back(service));
                let shown = &answer[..length.min(MESSAGE)];
                let expected = (is_shown && length > 0).then(|| shown.to_vec());
                let found = play.twin.kernel.names.overheard();
                assert_eq!(found, Vec::from_iter(expected), "{mode:?}, {length} bytes");
            }
            let elsewhere = udp(client, other).payload(&query);
            play.ingress(&elsewhere)
                .becomes(Forwarded, &udp(client, third).payload(&query));
            let back = |from| udp(from, client).payload(&query);
            play.egress(&back(third)).becomes(Replied, &back(other));
            let found = play.twin.kernel.names.overheard();
            assert_eq!(found, Vec::<Vec<u8>>::new(), "another's");
        }
    });
}

#[test]
fn datagrams_that_are_not_plain_are_left_to_the_server() {
    asked(|play, _| {
        let Cast {
            client, service, ..
        } = play.cast;
        let query = Query::of("shop.default.svc.cluster.local", 1).bytes();
        let plain = || udp(client, service).payload(&query);
        let bent = if client.is_ipv4() {
            plain().ipv4_options(&[1; 8])
        } else {
            plain().extension(Extension::Destination(14))
        };
        play.ingress(&bent).ends_as(Forwarded);
        play.ingress(&plain().claims_udp_length(30))
            .ends_as(Forwarded);
        play.ingress(&plain().fragment(0, true)).ends_as(Forwarded);
        play.ingress(&plain().no_checksum()).ends_as(Forwarded);
        let mut to_a_group = plain().bytes();
        to_a_group[0] |= 1;
        play.ingress_bytes(&to_a_group).ends_as(Forwarded);
        let nobody: IpAddr = if client.is_ipv4() {
            [224, 0, 0, 1].into()
        } else {
            [0xff02, 0, 0, 0, 0, 0, 0, 1].into()
        };
        let forged = udp(SocketAddr::new(nobody, 5353), service).payload(&query);
        play.ingress(&forged).ends_as(Forwarded);
    });
}
