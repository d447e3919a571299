// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who gets which address, over time.

use super::*;

struct Bed {
    ledger: Ledger,
    cidrs: Vec<IpNet>,
}

fn bed(cidrs: &[&str]) -> Bed {
    let cidrs = cidrs.iter().map(|cidr| cidr.parse().expect("a row's CIDR"));
    Bed {
        ledger: Ledger::default(),
        cidrs: cidrs.collect(),
    }
}

fn wish(name: &str, families: &[Family], own: &[&str]) -> Wish {
    Wish {
        name: Name::new("default", name),
        families: families.to_vec(),
        own: own
            .iter()
            .map(|it| it.parse().expect("a row's address"))
            .collect(),
    }
}

impl Bed {
    fn grant(&mut self, now_s: u64, wishes: &[Wish]) -> BTreeMap<String, Grant> {
        let grants = self.ledger.grant(wishes, &self.cidrs, now_s).into_iter();
        grants
            .map(|(name, grant)| (name.name.to_string(), grant))
            .collect()
    }
}

const V4: &[Family] = &[Family::V4];
const BOTH: &[Family] = &[Family::V4, Family::V6];

#[test]
fn addresses_stay_whoever_comes_and_goes() {
    let mut bed = bed(&["10.96.0.0/24", "fd00:96::/112"]);
    let first = bed.grant(0, &[wish("a", V4, &[]), wish("b", BOTH, &[])]);
    assert_eq!(first["b"].addresses.len(), 2);
    assert!(first["b"].addresses[1].is_ipv6());
    let crowd: Vec<Wish> = (0..100)
        .map(|index| wish(&format!("c{index}"), V4, &[]))
        .collect();
    let mut all = crowd.clone();
    all.extend([wish("b", BOTH, &[]), wish("a", V4, &[])]);
    let second = bed.grant(1, &all);
    assert_eq!((&second["a"], &second["b"]), (&first["a"], &first["b"]));
    let given = second.values().flat_map(|grant| &grant.addresses);
    assert_eq!(given.collect::<BTreeSet<_>>().len(), 103);
    // The same after a restart, which reads the ledger back.
    let text = serde_json::to_string(&bed.ledger).expect("a ledger");
    bed.ledger = serde_json::from_str(&text).expect("a ledger");
    assert_eq!(bed.grant(2, &all), second);
    // Two machines that start with the same Services agree.
    let mut other = self::bed(&["10.96.0.0/24", "fd00:96::/112"]);
    assert_eq!(
        other.grant(9, &[wish("a", V4, &[]), wish("b", BOTH, &[])]),
        first
    );
}

#[test]
fn a_claimed_address_is_never_given_and_is_given_back_when_claimed_later() {
    let mut bed = bed(&["10.96.0.0/29"]);
    let first = bed.grant(0, &[wish("a", V4, &[])])["a"].addresses[0].to_string();
    let second = bed.grant(1, &[wish("a", V4, &[]), wish("claimant", V4, &[&first])]);
    assert_eq!(second["claimant"].addresses[0].to_string(), first);
    assert_ne!(second["a"].addresses[0].to_string(), first);
    // A CIDR that no longer holds it.
    bed.cidrs = vec!["10.97.0.0/16".parse().expect("a CIDR")];
    let third = bed.grant(2, &[wish("a", V4, &[])]);
    assert!(bed.cidrs[0].contains(&third["a"].addresses[0]), "{third:?}");
}

#[test]
fn freed_addresses_are_kept_a_while_and_used_when_nothing_else_is_left() {
    // 6 usable addresses: neither the network's nor the broadcast one.
    let mut bed = bed(&["10.96.0.0/29"]);
    let names = ["a", "b", "c", "d", "e", "f"];
    let wishes: Vec<Wish> = names.iter().map(|name| wish(name, V4, &[])).collect();
    let first = bed.grant(0, &wishes);
    assert!(
        first.values().all(|grant| grant.problems.is_empty()),
        "{first:?}"
    );
    // `a` goes and comes back within the time: the same address.
    bed.grant(1, &wishes[1..]);
    assert_eq!(bed.grant(KEPT_S, &wishes), first);
    // One too many is refused by a sentence, and the others are unharmed.
    let mut crowd = wishes.clone();
    crowd.push(wish("late", V4, &[]));
    let crowded = bed.grant(KEPT_S + 1, &crowd);
    assert_eq!(crowded["late"].addresses, Vec::<IpAddr>::new());
    assert!(
        crowded["late"].problems[0].contains("10.96.0.0/29"),
        "{crowded:?}"
    );
    assert_eq!(crowded["f"], first["f"]);
    // `a` goes: its address is kept, but there is no other.
    crowd.remove(0);
    assert_eq!(bed.grant(KEPT_S + 2, &crowd)["late"], first["a"]);
    // After its time, and with nobody to take it, a kept address is free.
    bed.grant(KEPT_S + 3, &[]);
    bed.grant(2 * KEPT_S + 3, &[]);
    assert_eq!(bed.ledger, Ledger::default());
}

#[test]
fn the_lower_band_is_for_people() {
    let mut bed = bed(&["10.96.0.0/24", "fd00::/64"]);
    let wishes: Vec<Wish> = (0..239)
        .map(|index| wish(&format!("s{index}"), BOTH, &[]))
        .collect();
    let grants = bed.grant(0, &wishes);
    let low: IpAddr = "10.96.0.16".parse().expect("an address");
    let given = grants.values().map(|grant| grant.addresses[0]);
    assert!(given.clone().all(|address| address >= low));
    assert_eq!(given.collect::<BTreeSet<_>>().len(), 239);
    let more = wish("one-more", V4, &[]);
    let all: Vec<Wish> = wishes.into_iter().chain([more]).collect();
    assert!(bed.grant(1, &all)["one-more"].addresses[0] < low);
}

#[test]
fn a_family_without_a_cidr_is_said() {
    let mut bed = bed(&["10.96.0.0/16"]);
    let grants = bed.grant(0, &[wish("a", BOTH, &[]), wish("b", BOTH, &["fd00::1"])]);
    assert_eq!(
        (grants["a"].addresses.len(), grants["a"].problems.len()),
        (1, 1)
    );
    assert_eq!(
        (grants["b"].addresses.len(), grants["b"].problems.len()),
        (2, 0)
    );
}

#[test]
fn what_an_api_server_would_refuse_is_served_and_said() {
    let mut bed = bed(&["10.96.0.0/24"]);
    let grants = bed.grant(
        0,
        &[
            wish("fine", V4, &["10.96.0.1"]),
            wish("first", V4, &["10.96.0.2"]),
            wish("second", V4, &["10.96.0.2"]),
            wish("outside", V4, &["10.97.0.1"]),
            // No range of this family says what is outside.
            wish("other", &[Family::V6], &["fd00:1::1"]),
        ],
    );
    for (name, address, expected) in [
        ("fine", "10.96.0.1", None),
        (
            "first",
            "10.96.0.2",
            Some("that of Service default/second as well"),
        ),
        (
            "second",
            "10.96.0.2",
            Some("that of Service default/first as well"),
        ),
        (
            "outside",
            "10.97.0.1",
            Some("not in the Service CIDR 10.96.0.0/24"),
        ),
        ("other", "fd00:1::1", None),
    ] {
        let grant = &grants[name];
        assert_eq!(grant.addresses[0].to_string(), address, "{name}");
        assert_eq!(
            grant.problems.len(),
            usize::from(expected.is_some()),
            "{grant:?}"
        );
        let said = grant.problems.first().map_or("", String::as_str);
        assert!(said.contains(expected.unwrap_or_default()), "{said}");
    }
}
