// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the node must offer before anything is touched, each refusal with what to do about it.

use aya::programs::{ProgramError, ProgramType, loaded_programs};
use std::{fmt, fs, io, path::Path};

/// The oldest kernel that we are tested with.
pub const OLDEST: Release = Release { major: 6, minor: 1 };

/// From here on several programs share a hook by `tcx`; before, by filters of a `clsact` qdisc.
pub const TCX_SINCE: Release = Release { major: 6, minor: 6 };

/// A kernel's version, as far as features depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// How many programs are loaded that netfilter may call.
pub fn netfilter_programs() -> Result<usize, ProgramError> {
    let mut number = 0;
    for program in loaded_programs() {
        match program {
            Ok(program) => {
                let is_netfilters = program.program_type() == ProgramType::Netfilter.into();
                number += usize::from(is_netfilters);
            }
            // It has ended meanwhile.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(number)
}

/// The node cannot carry Weiche.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Too old.
    #[error(
        "this kernel is {found}; Weiche needs Linux {OLDEST} or newer \
         (bpf_timer and bpf_loop as the programs use them): boot a newer kernel"
    )]
    Old {
        /// What is running.
        found: String,
    },
    /// Capabilities are missing.
    #[error(
        "missing {missing}: Weiche loads BPF programs and attaches them to interfaces; run it as \
         root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    Unprivileged {
        /// The missing capabilities, by name.
        missing: String,
    },
    /// No type information.
    #[error(
        "/sys/kernel/btf/vmlinux is not there: the kernel must be built with \
         CONFIG_DEBUG_INFO_BTF=y (every distribution's Linux {OLDEST} is), and /sys be mounted"
    )]
    NoBtf,
    /// The facts cannot be read.
    #[error("reading {path} to learn what this process may do: is /proc mounted?")]
    Unreadable {
        /// The file.
        path: &'static str,
        /// What the kernel said.
        #[source]
        cause: io::Error,
    },
}

/// Checks the node and returns the kernel's version.
pub fn check() -> Result<Release, Unfit> {
    const STATUS: &str = "/proc/self/status";
    let status = fs::read_to_string(STATUS);
    let status = status.map_err(|cause| Unfit::Unreadable {
        path: STATUS,
        cause,
    })?;
    let missing = missing_capabilities(&status);
    if !missing.is_empty() {
        return Err(Unfit::Unprivileged {
            missing: missing.join(", "),
        });
    }
    let release = running()?;
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Unfit::NoBtf);
    }
    Ok(release)
}

/// The running kernel's version, refused when it is too old.
fn running() -> Result<Release, Unfit> {
    let uname = rustix::system::uname();
    let found = uname.release().to_string_lossy().into_owned();
    match parse_release(&found) {
        Some(release) if release >= OLDEST => Ok(release),
        _ => Err(Unfit::Old { found }),
    }
}

/// The first two numbers of what `uname -r` prints.
fn parse_release(text: &str) -> Option<Release> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some(Release { major, minor })
}

/// Numbers from `include/uapi/linux/capability.h`.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// Which capabilities the text of `/proc/self/status` does not show as effective.
fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let effective = effective.unwrap_or(0);
    let missing = NEEDED.iter().filter(|(bit, _)| effective & (1 << bit) == 0);
    missing.map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_as_distributions_print_them() {
        let of = |major, minor| Some(Release { major, minor });
        for (text, release) in [
            ("6.1.0-28-amd64", of(6, 1)),
            ("6.18.44", of(6, 18)),
            ("5.15.0-1063-aws", of(5, 15)),
            ("7.0-rc1", of(7, 0)),
            ("weird", None),
            ("", None),
        ] {
            assert_eq!(parse_release(text), release, "{text}");
        }
        assert!(of(6, 12) > of(6, 6) && of(5, 19) < of(6, 1));
    }

    #[test]
    fn missing_capabilities_are_named() {
        for (mask, missing) in [
            ("000001ffffffffff", &[][..]),
            (
                "0000000000000000",
                &["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"],
            ),
            ("000000c000000000", &["CAP_NET_ADMIN"]),
            ("000000c000001000", &[]),
        ] {
            let status = format!("Name:\tweiche\nCapPrm:\t0\nCapEff:\t{mask}\n");
            assert_eq!(missing_capabilities(&status), missing, "{mask}");
        }
    }
}
