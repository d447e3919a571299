// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses as Kubernetes reads them, old sloppy spellings included.

use std::{borrow::Cow, net::IpAddr};

/// Reads an address; `None` when it is none.
///
/// Numbers with leading zeros are decimal: objects written before Kubernetes 1.33 may hold
/// `010.0.0.1`, which Go read as 10.0.0.1 and today's `Ipv4Addr` refuses (CVE-2021-29923; KEP-4858
/// keeps such objects valid). IPv4-mapped IPv6 addresses are IPv4, as for Go's `net.IP`.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let plain = without_leading_zeros(text);
    let address: IpAddr = plain.parse().ok()?;
    Some(address.to_canonical())
}

/// Takes leading zeros out of the dotted part, which may end an IPv6 address.
fn without_leading_zeros(text: &str) -> Cow<'_, str> {
    let start = text.rfind(':').map_or(0, |colon| colon + 1);
    let (head, dotted) = text.split_at(start);
    let sloppy = |part: &str| part.len() > 1 && part.starts_with('0');
    if !dotted.contains('.') || !dotted.split('.').any(sloppy) {
        return Cow::Borrowed(text);
    }
    let parts: Vec<&str> = dotted.split('.').map(without_zeros).collect();
    Cow::Owned(format!("{head}{}", parts.join(".")))
}

fn without_zeros(part: &str) -> &str {
    match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0",
        rest => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_kubernetes_reads_them() {
        for (text, want) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.000.00.1", Some("10.0.0.1")),
            ("10.0.0.0256", None),
            ("10.0.0", None),
            ("10..0.1", None),
            ("0x0a.0.0.1", None),
            ("fd00::0010", Some("fd00::10")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("::ffff:010.0.0.01", Some("10.0.0.1")),
            ("fe80::1%eth0", None),
            ("None", None),
            ("", None),
            (" 10.0.0.1", None),
        ] {
            let want = want.map(|want| want.parse().expect("a row's address"));
            assert_eq!(parse_address(text), want, "{text:?}");
        }
    }
}
