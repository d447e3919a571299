// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a question to what the zone knows of it.
//!
//! Whether a name is there does not depend on the type that was asked for: resolvers take "no such
//! name" as the last word on all types (RFC 8020).

use super::{
    Zone,
    entry::{Entry, Label},
};
use hickory_proto::{
    rr::{
        Name as DomainName, RData, Record, RecordType,
        rdata::{HINFO, NULL, PTR, TXT},
    },
    serialize::binary::BinEncodable as _,
};
use std::net::IpAddr;

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
/// What a record of SRV has before its target.
const SERVER: usize = 6;
/// The longest name, its lengths included (RFC 1035, section 2.3.4).
const LONGEST: usize = 255;

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

/// Which hosts serve a named port, and where: in order, each once.
type Serving<'a> = Vec<(Option<&'a Label>, u16)>;

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
                let serving = each_once(entry.serving(port, protocol));
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
        serving: &[(Option<&Label>, u16)],
        share: Share,
    ) -> Found {
        let [svc, namespace, service, ..] = labels else {
            return Found::NoName;
        };
        let below = [service, namespace, svc].map(AsRef::as_ref);
        let Some(service) = self.absolute(below) else {
            return Found::NoName;
        };
        let Ok(below) = service.to_bytes() else {
            return Found::NoName;
        };
        let count = u16::try_from(serving.len()).unwrap_or(u16::MAX);
        let weight = WEIGHT.checked_div(count).unwrap_or(0).max(1);
        let (mut answers, mut hosts) = (Vec::new(), Vec::new());
        let mut room = Some(share.room);
        for (host, number) in share.circle(serving.iter()) {
            let Some(server) = server(weight, *number, *host, &below) else {
                continue;
            };
            room = room.and_then(|room| room.checked_sub(RECORD + server.len()));
            // They come in order, but for one that the circle may begin and end with.
            if hosts.last() != Some(host) {
                hosts.push(*host);
            }
            answers.push(RData::Unknown {
                code: RecordType::SRV,
                rdata: NULL::with(server),
            });
            if room.is_none() {
                break;
            }
        }
        if room.is_none_or(|room| room < ADDRESS * hosts.len()) {
            return data(answers);
        }
        let glue = each_once(hosts.into_iter()).into_iter().flat_map(|host| {
            let target = match host {
                Some(host) => DomainName::new()
                    .append_label(&**host)
                    .and_then(|name| name.append_domain(&service)),
                None => Ok(service.clone()),
            };
            let records = target.map(|target| {
                let addresses = each_once(entry.addresses_of(host)).into_iter();
                addresses.map(move |it| Record::from_rdata(target.clone(), self.ttl_s, rdata(it)))
            });
            records.into_iter().flatten()
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
    let each = each_once(wanted);
    let each = share.circle(each.iter()).take(share.most(ADDRESS));
    each.map(|address| rdata(*address)).collect()
}

/// In order. Most come in it, which sorting makes use of.
fn each_once<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort();
    all.dedup();
    all
}

/// The data of one SRV record (RFC 2782), as it is sent: a thousand servers have all of their names
/// but the first label in common, which is `below`, and none of it may be compressed. None: the
/// name would be longer than one can be.
fn server(weight: u16, port: u16, host: Option<&Label>, below: &[u8]) -> Option<Vec<u8>> {
    let label = host.map_or(0, |host| 1 + host.len());
    let mut data = Vec::with_capacity(SERVER + label + below.len());
    for field in [0, weight, port] {
        data.extend(field.to_be_bytes());
    }
    if let Some(host) = host {
        data.push(u8::try_from(host.len()).ok()?);
        data.extend_from_slice(host);
    }
    data.extend_from_slice(below);
    (data.len() <= SERVER + LONGEST).then_some(data)
}

fn rdata(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    }
}
