// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which IP families a Service has: `ipFamilyPolicy`, `ipFamilies`, its own addresses and the
//! Service CIDRs, by the API server's rules (KEP-563).

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::ServiceSpec;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// The family of a CIDR.
    pub fn of_net(net: &IpNet) -> Self {
        Self::of(net.addr())
    }

    fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// The families of a Service, the primary one first, and what was refused of its wishes.
///
/// `own` are the addresses that the Service states itself. Without any wish, a Service has one
/// family: that of the first CIDR.
pub fn families(spec: &ServiceSpec, own: &[IpAddr], cidrs: &[IpNet]) -> (Vec<Family>, Vec<String>) {
    let mut problems = Vec::new();
    let mut wanted: Vec<Family> = own.iter().copied().map(Family::of).collect();
    for text in spec.ip_families.iter().flatten() {
        match text.as_str() {
            "IPv4" => wanted.push(Family::V4),
            "IPv6" => wanted.push(Family::V6),
            other => problems.push(format!("ipFamilies has {other:?}, which is no family")),
        }
    }
    let there = cidrs.iter().map(Family::of_net);
    let first = wanted.first().copied().or(there.clone().next());
    let first = first.unwrap_or(Family::V4);
    let second_wanted = wanted.contains(&first.other());
    let second_there = wanted_or_there(own, there, first.other());
    let both = match spec.ip_family_policy.as_deref() {
        Some("SingleStack") => false,
        Some("PreferDualStack") => second_there,
        Some("RequireDualStack") => {
            if !second_there {
                problems.push(
                    "ipFamilyPolicy is RequireDualStack, but there is no Service CIDR of the \
                     second family; one family is served. Give both with --service-cidr"
                        .to_owned(),
                );
            }
            second_there
        }
        // Two families named without a policy mean RequireDualStack.
        None => second_wanted,
        Some(other) => {
            problems.push(format!(
                "ipFamilyPolicy {other:?} is unknown; SingleStack is used"
            ));
            false
        }
    };
    let families = if both {
        vec![first, first.other()]
    } else {
        vec![first]
    };
    (families, problems)
}

fn wanted_or_there(
    own: &[IpAddr],
    mut there: impl Iterator<Item = Family>,
    family: Family,
) -> bool {
    there.any(|it| it == family) || own.iter().any(|address| Family::of(*address) == family)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "10.96.0.0/16";
    const V6: &str = "fd00:96::/112";

    #[test]
    fn families_follow_policy_wishes_and_cidrs() {
        let four = &["IPv4"][..];
        let six = &["IPv6"][..];
        let six_four = &["IPv6", "IPv4"][..];
        for (policy, wishes, own, cidrs, want, problems) in [
            (None, &[][..], &[][..], &[V4, V6][..], "4", 0),
            (None, &[], &[], &[V6, V4], "6", 0),
            (None, &[], &[], &[], "4", 0),
            (None, six, &[], &[V4, V6], "6", 0),
            (None, six_four, &[], &[V4, V6], "64", 0),
            (None, &[], &["fd00::1"], &[V4, V6], "6", 0),
            (None, &[], &["10.0.0.1", "fd00::1"], &[V4], "46", 0),
            (Some("SingleStack"), &[], &[], &[V4, V6], "4", 0),
            (Some("SingleStack"), six_four, &[], &[V4, V6], "6", 0),
            (Some("PreferDualStack"), &[], &[], &[V4, V6], "46", 0),
            (Some("PreferDualStack"), six, &[], &[V4, V6], "64", 0),
            (Some("PreferDualStack"), &[], &[], &[V4], "4", 0),
            (Some("PreferDualStack"), four, &["10.0.0.1"], &[V6], "46", 0),
            (Some("RequireDualStack"), &[], &[], &[V6, V4], "64", 0),
            (Some("RequireDualStack"), &[], &[], &[V4], "4", 1),
            (Some("Dual"), &[], &[], &[V4, V6], "4", 1),
            (None, &["IPv5"], &[], &[V4], "4", 1),
        ] {
            let spec = ServiceSpec {
                ip_family_policy: policy.map(str::to_owned),
                ip_families: Some(wishes.iter().map(|&wish| wish.to_owned()).collect()),
                ..ServiceSpec::default()
            };
            let own: Vec<IpAddr> = own.iter().map(|it| it.parse().expect("a row")).collect();
            let cidrs: Vec<IpNet> = cidrs.iter().map(|it| it.parse().expect("a row")).collect();
            let (families, said) = families(&spec, &own, &cidrs);
            let digit = |family: &Family| if *family == Family::V4 { '4' } else { '6' };
            let found: String = families.iter().map(digit).collect();
            let row = (policy, wishes, own, cidrs);
            assert_eq!(
                (found.as_str(), said.len()),
                (want, problems),
                "{row:?} {said:?}"
            );
        }
    }
}
