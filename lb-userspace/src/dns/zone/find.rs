// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a question to what the zone knows of it.
//!
//! Whether a name is there does not depend on the type that was asked for: resolvers take "no such
//! name" as the last word on all types (RFC 8020).

use super::{
    Zone,
    entry::{Entry, Label},
};
use hickory_proto::rr::{
    Name as DomainName, RData, Record, RecordType,
    rdata::{HINFO, PTR, SRV, TXT},
};
use std::{collections::BTreeSet, net::IpAddr};

/// The version of the specification.
const VERSION: &str = "1.1.0";

/// The deepest name there is: `_port._protocol.service.namespace.svc`.
const DEEPEST: usize = 5;

/// What SRV records of one name share.
const WEIGHT: u16 = 100;

/// What a record takes at least: a pointer for its name, and what stands before its data (RFC 1035,
/// section 4.1.3).
const RECORD: usize = 12;
/// One with an address of IPv4, the shorter ones.
const ADDRESS: usize = RECORD + 4;
/// One of SRV, besides its target, which is no pointer (RFC 2782).
const SERVER: usize = RECORD + 6;

/// Which of many records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one comes first, in a circle: whoever takes the first answer only is led to another
    /// one each time.
    pub first: usize,
    /// Bytes that there is room for. One record more than fits says that some are left out.
    pub room: usize,
}

impl Share {
    /// Those from the first one on.
    fn circle<T>(self, all: impl ExactSizeIterator<Item = T> + Clone) -> impl Iterator<Item = T> {
        let before = self.first.checked_rem(all.len()).unwrap_or(0);
        all.clone().skip(before).chain(all.take(before))
    }

    /// How many there can be room for of records that have so many bytes at least, and one.
    fn most(self, least: usize) -> usize {
        self.room / least + 1
    }
}

/// What the zone knows of a name and a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing was ever listed completely: whatever was said might be wrong.
    Unknown,
    /// The name is not in the zone.
    Outside,
    /// No such name.
    NoName,
    /// The name is there, and has nothing of this type.
    NoData,
    /// The name is another name of this one.
    Alias(DomainName),
    /// Answers, all owned by the name, and what whoever got them will ask for next.
    Data(Vec<RData>, Vec<Record>),
}

/// A name that is there.
enum Place<'a> {
    /// Nothing but other names below it.
    Bare,
    Apex,
    Version,
    Service(&'a Entry),
    Host(Vec<IpAddr>),
    Port(&'a Entry, Serving<'a>),
}

/// Which hosts serve a named port, and where.
type Serving<'a> = BTreeSet<(Option<&'a Label>, u16)>;

impl Zone {
    /// What is known of a name and a type: of many records, a share.
    pub fn find(&self, name: &DomainName, kind: RecordType, share: Share) -> Found {
        let Some(labels) = self.labels_below(name) else {
            return self.find_pointers(name, kind);
        };
        if !self.complete {
            return Found::Unknown;
        }
        match self.place(&labels) {
            None => Found::NoName,
            Some(Place::Service(Entry::Alias(target))) => Found::Alias(target.clone()),
            // RFC 8482: an answer, and not all of them.
            Some(_) if kind == RecordType::ANY => least(),
            Some(Place::Apex) if kind == RecordType::SOA => data(vec![self.authority(name).data]),
            Some(Place::Version) if kind == RecordType::TXT => {
                data(vec![RData::TXT(TXT::new(vec![VERSION.to_owned()]))])
            }
            Some(Place::Service(entry)) => data(of_family(entry.addresses(), kind, share)),
            Some(Place::Host(addresses)) => data(of_family(addresses, kind, share)),
            Some(Place::Port(entry, serving)) if kind == RecordType::SRV => {
                self.servers(&labels, entry, &serving, share)
            }
            Some(Place::Bare | Place::Apex | Place::Version | Place::Port(..)) => Found::NoData,
        }
    }

    /// The labels below the zone's name, the uppermost first, and in lower case; none: the name is
    /// not below it. Of a name that is too deep to be there, only the first ones.
    pub(super) fn labels_below(&self, name: &DomainName) -> Option<Vec<Label>> {
        let mut labels = name.iter().rev();
        for own in self.origin.iter().rev() {
            if !labels.next()?.eq_ignore_ascii_case(own) {
                return None;
            }
        }
        let below = labels.take(DEEPEST + 1);
        Some(
            below
                .map(|label| label.to_ascii_lowercase().into())
                .collect(),
        )
    }

    fn place(&self, labels: &[Label]) -> Option<Place<'_>> {
        let labels: Vec<&[u8]> = labels.iter().map(AsRef::as_ref).collect();
        let (namespace, rest) = match labels[..] {
            [] => return Some(Place::Apex),
            [b"dns-version"] => return Some(Place::Version),
            [b"svc"] => return Some(Place::Bare),
            [b"svc", namespace] => return self.has_namespace(namespace).then_some(Place::Bare),
            [b"svc", namespace, ref rest @ ..] => (self.namespaces.get(namespace)?, rest),
            _ => return None,
        };
        let (service, rest) = rest.split_first()?;
        let entry = namespace.get(*service)?;
        match (rest, entry) {
            ([], entry) => Some(Place::Service(entry)),
            ([host], Entry::Hosts(hosts)) if hosts.contains_key(*host) => {
                let list = hosts.get(*host)?.iter();
                Some(Place::Host(list.map(|host| host.address).collect()))
            }
            ([protocol], entry) => {
                let protocol = protocol.strip_prefix(b"_")?;
                entry.has_ports(protocol).then_some(Place::Bare)
            }
            ([protocol, port], entry) => {
                let protocol = protocol.strip_prefix(b"_")?;
                let port = port.strip_prefix(b"_")?;
                let serving: Serving<'_> = entry.serving(port, protocol).collect();
                (!serving.is_empty()).then_some(Place::Port(entry, serving))
            }
            _ => None,
        }
    }

    /// SRV records of a named port, with the addresses of their targets, each once, if there may be
    /// room for them.
    fn servers(
        &self,
        labels: &[Label],
        entry: &Entry,
        serving: &Serving<'_>,
        share: Share,
    ) -> Found {
        let [svc, namespace, service, ..] = labels else {
            return Found::NoName;
        };
        let below = [service, namespace, svc].map(AsRef::as_ref);
        let Some(service) = self.absolute(below) else {
            return Found::NoName;
        };
        let target = |host: Option<&Label>| match host {
            Some(host) => DomainName::new()
                .append_label(&**host)
                .and_then(|name| name.append_domain(&service)),
            None => Ok(service.clone()),
        };
        let count = u16::try_from(serving.len()).unwrap_or(u16::MAX);
        let weight = WEIGHT.checked_div(count).unwrap_or(0).max(1);
        let (mut answers, mut hosts) = (Vec::new(), Vec::new());
        let mut room = Some(share.room);
        for (host, number) in share.circle(serving.iter()) {
            let Ok(target) = target(*host) else {
                continue;
            };
            room = room.and_then(|room| room.checked_sub(SERVER + target.len()));
            // They come in order, but for one that the circle may begin and end with.
            if hosts.last() != Some(host) {
                hosts.push(*host);
            }
            answers.push(RData::SRV(SRV::new(0, weight, *number, target)));
            if room.is_none() {
                break;
            }
        }
        if room.is_none_or(|room| room < ADDRESS * hosts.len()) {
            return data(answers);
        }
        let hosts: BTreeSet<_> = hosts.into_iter().collect();
        let glue = hosts.into_iter().flat_map(|host| {
            let addresses: BTreeSet<_> = entry.addresses_of(host).collect();
            let records = addresses.into_iter().map(move |it| {
                let target = target(host).ok()?;
                Some(Record::from_rdata(target, self.ttl_s, rdata(it)))
            });
            records.flatten()
        });
        let glue = glue.collect();
        Found::Data(answers, glue)
    }

    /// Reverse names. What is not ours may be somebody else's, so there is no "no such name".
    fn find_pointers(&self, name: &DomainName, kind: RecordType) -> Found {
        let address = name.parse_arpa_name().ok();
        let address = address.filter(|net| net.prefix_len() == net.max_prefix_len());
        let Some(address) = address.map(|net| net.addr()) else {
            return Found::Outside;
        };
        if !self.complete {
            return Found::Unknown;
        }
        let Some(owners) = self.pointers.get(&address) else {
            return Found::Outside;
        };
        match kind {
            RecordType::ANY => least(),
            RecordType::PTR => {
                let names = owners.iter().filter_map(|owner| self.name_of(owner));
                data(names.map(|name| RData::PTR(PTR(name))).collect())
            }
            _ => Found::NoData,
        }
    }
}

fn least() -> Found {
    data(vec![RData::HINFO(HINFO::new(
        "RFC8482".to_owned(),
        String::new(),
    ))])
}

fn data(answers: Vec<RData>) -> Found {
    if answers.is_empty() {
        Found::NoData
    } else {
        Found::Data(answers, Vec::new())
    }
}

/// Addresses of the family that a type asks for, each once.
fn of_family(
    addresses: impl IntoIterator<Item = IpAddr>,
    kind: RecordType,
    share: Share,
) -> Vec<RData> {
    let wanted = addresses.into_iter().filter(|address| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    });
    let each: BTreeSet<IpAddr> = wanted.collect();
    let each = share.circle(each.iter()).take(share.most(ADDRESS));
    each.map(|address| rdata(*address)).collect()
}

fn rdata(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    }
}
