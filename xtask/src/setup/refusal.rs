// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns what rustup, cargo and apt say when they are refused into a sentence that says what to do.

/// The same error, with the sentence in front if the cause is a known one.
pub(super) fn explain(error: anyhow::Error) -> anyhow::Error {
    match cause(&format!("{error:#}")) {
        Some(sentence) => error.context(sentence),
        None => error,
    }
}

/// What the tools write, in lower case, and what it means.
const CAUSES: &[(&[&str], &str)] = &[
    (
        &["no space left", "enough free space"],
        "the disk is full: set-up and a build need about 6 GB; make room and run this again",
    ),
    (
        &[
            "could not get lock",
            "unable to acquire the dpkg",
            "unable to lock",
        ],
        "another apt is at work, and has been for two minutes: run this again when it has ended",
    ),
    (
        &["[403]", " 403 ", "[401]", "forbidden", "unauthorized"],
        "the server was reached but refuses to hand this out: see the address below, and whether \
         a proxy or a mirror must be set",
    ),
    (
        &["certificate"],
        "the server's certificate is not trusted: install its authority's, be it that of the \
         package ca-certificates or of a proxy in between",
    ),
    (
        &[
            "could not resolve",
            "temporary failure",
            "dns error",
            "failed to lookup",
        ],
        "no name server answers: is this machine on a network?",
    ),
    (
        &[
            "could not connect",
            "connection refused",
            "timed out",
            "network is unreachable",
        ],
        "the server cannot be reached: is this machine on a network, and is a proxy needed?",
    ),
    (
        &["unable to locate package", "no installation candidate"],
        "apt does not know a package: this project is set up on Debian 12 or later",
    ),
    (
        &["permission denied"],
        "a file may not be written: are the checkout and the cargo and rustup folders yours?",
    ),
];

fn cause(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    CAUSES
        .iter()
        .find(|(signs, _)| signs.iter().any(|sign| said.contains(sign)))
        .map(|(_, sentence)| *sentence)
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn known_causes_have_a_sentence() {
        for (said, expected) in [
            (
                "write error: No space left on device (os error 28)",
                Some("disk is full"),
            ),
            (
                "E: Could not get lock /var/lib/dpkg/lock-frontend",
                Some("another apt"),
            ),
            (
                "error: failed to download: [403] Forbidden",
                Some("refuses"),
            ),
            (
                "[60] SSL peer certificate or SSH remote key was not OK",
                Some("certificate is not trusted"),
            ),
            (
                "Temporary failure resolving 'deb.debian.org'",
                Some("no name server"),
            ),
            ("connect: Connection refused", Some("cannot be reached")),
            (
                "E: Unable to locate package tcpdump",
                Some("does not know a package"),
            ),
            ("something else", None),
        ] {
            let found = cause(said);
            assert_eq!(found.is_some(), expected.is_some(), "{said}");
            assert!(
                found.unwrap_or("").contains(expected.unwrap_or("")),
                "{said}"
            );
        }
    }
}
