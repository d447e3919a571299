// SPDX-License-Identifier: MIT OR Apache-2.0
//! A verifier's refusal in two lines, the rest in a file.

use std::{fs, path::Path};

/// Picks the verifier's own last word out of its log.
///
/// The log ends with statistics (`processed 123 insns ...`); the reason stands above them. Lines
/// that begin with an instruction's number or a register are the walk, not the reason.
pub(super) fn reason(log: &str) -> &str {
    let mut lines = log.lines().rev().map(str::trim);
    let reason = lines.find(|line| {
        let statistics = [
            "processed ",
            "verification time",
            "stack depth",
            "insns_processed",
        ];
        let walk = line.starts_with(|c: char| c.is_ascii_digit() || c == ';' || c == '(')
            || line.starts_with("from ");
        !(line.is_empty() || walk || statistics.iter().any(|start| line.starts_with(start)))
    });
    reason.unwrap_or("no reason given")
}

/// Keeps a log beside the agent's state and says where, or why not.
pub(super) fn keep(log: &str, state_dir: &Path, program: &str) -> String {
    let path = state_dir.join(format!("verifier-{program}.log"));
    match fs::create_dir_all(state_dir).and_then(|()| fs::write(&path, log)) {
        Ok(()) => format!("the full log is in {}", path.display()),
        Err(error) => format!(
            "the full log could not be kept in {}: {error}",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stands_above_the_statistics() {
        for (log, found) in [
            (
                "0: R1=ctx()\n12: (71) r2 = *(u8 *)(r1 +0)\n; let x = 1\ninvalid access to packet\n\
                 verification time 42 usec\nstack depth 8\nprocessed 13 insns (limit 1000000)\n",
                "invalid access to packet",
            ),
            (
                "BPF program is too large. Processed 1000001 insn\nprocessed 1000001 insns\n",
                "BPF program is too large. Processed 1000001 insn",
            ),
            (
                "R2 pointer arithmetic on pkt_end prohibited\n",
                "R2 pointer arithmetic on pkt_end prohibited",
            ),
            ("", "no reason given"),
        ] {
            assert_eq!(reason(log), found);
        }
    }

    #[test]
    fn the_log_is_kept_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let said = keep("all of it", folder.path(), "weiche_ingress");
        let path = folder.path().join("verifier-weiche_ingress.log");
        assert!(said.ends_with(&path.display().to_string()), "{said}");
        assert_eq!(fs::read_to_string(path).unwrap(), "all of it");
    }
}
