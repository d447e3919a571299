// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of the file, put where the flag of the same meaning puts its own.

use crate::{
    config::{Given, KeptTimeout, NodePortRange},
    yaml::Tree,
};
use serde_json::Value;
use std::{fmt::Display, str::FromStr};

type Done = Result<(), String>;

pub(super) fn kubeconfig(given: &mut Given, tree: &Tree) -> Done {
    let path = text(tree)?;
    given.kubeconfig = (!path.is_empty()).then(|| path.into());
    Ok(())
}

pub(super) fn verbosity(given: &mut Given, tree: &Tree) -> Done {
    let level = whole(tree)?;
    // As kube-proxy does: the flag wins over the file.
    given.verbosity.get_or_insert(level);
    Ok(())
}

pub(super) fn log_format(given: &mut Given, tree: &Tree) -> Done {
    let format = parse(tree)?;
    // As kube-proxy does: the flag wins over the file.
    given.log_format.get_or_insert(format);
    Ok(())
}

pub(super) fn hostname(given: &mut Given, tree: &Tree) -> Done {
    let name = text(tree)?;
    if !name.is_empty() {
        // As kube-proxy does: the flag wins over the file.
        given
            .hostname_override
            .get_or_insert_with(|| name.to_owned());
    }
    Ok(())
}

pub(super) fn bind_address(given: &mut Given, tree: &Tree) -> Done {
    given.servers.bind = parse_unless_empty(tree)?;
    Ok(())
}

pub(super) fn healthz(given: &mut Given, tree: &Tree) -> Done {
    // In a file, nothing means the default.
    given.servers.probes = parse_unless_empty(tree)?;
    Ok(())
}

pub(super) fn metrics(given: &mut Given, tree: &Tree) -> Done {
    given.servers.metrics = parse_unless_empty(tree)?;
    Ok(())
}

pub(super) fn hard_fail(given: &mut Given, tree: &Tree) -> Done {
    match tree.value() {
        Value::Bool(hard_fail) => {
            given.servers.hard_fail = hard_fail;
            Ok(())
        }
        other => Err(format!("write true or false, not {other}")),
    }
}

pub(super) fn node_ports(given: &mut Given, tree: &Tree) -> Done {
    let Value::Array(list) = tree.value() else {
        return Err("write a list of CIDRs".to_owned());
    };
    let ranges = list.iter().map(|value| {
        let text = value.as_str().unwrap_or_default();
        text.parse::<NodePortRange>()
            .map_err(|error| format!("{value}: {error}"))
    });
    given.rules.node_ports = ranges.collect::<Result<_, _>>()?;
    Ok(())
}

pub(super) fn max_per_core(given: &mut Given, tree: &Tree) -> Done {
    given.conntrack.max_per_core = Some(whole(tree)?);
    Ok(())
}

pub(super) fn min(given: &mut Given, tree: &Tree) -> Done {
    given.conntrack.min = Some(whole(tree)?);
    Ok(())
}

pub(super) fn established(given: &mut Given, tree: &Tree) -> Done {
    parse::<KeptTimeout>(tree)?.replace(&mut given.timeouts.established_ns);
    Ok(())
}

pub(super) fn close_wait(given: &mut Given, tree: &Tree) -> Done {
    parse::<KeptTimeout>(tree)?.replace(&mut given.timeouts.close_wait_ns);
    Ok(())
}

pub(super) fn udp(given: &mut Given, tree: &Tree) -> Done {
    parse::<KeptTimeout>(tree)?.replace(&mut given.timeouts.udp_unanswered_ns);
    Ok(())
}

pub(super) fn udp_stream(given: &mut Given, tree: &Tree) -> Done {
    parse::<KeptTimeout>(tree)?.replace(&mut given.timeouts.udp_answered_ns);
    Ok(())
}

fn parse<T: FromStr<Err: Display>>(tree: &Tree) -> Result<T, String> {
    let text = text(tree)?;
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

fn parse_unless_empty<T: FromStr<Err: Display>>(tree: &Tree) -> Result<Option<T>, String> {
    match text(tree)? {
        "" => Ok(None),
        _ => parse(tree).map(Some),
    }
}

fn text(tree: &Tree) -> Result<&str, String> {
    tree.text()
        .ok_or_else(|| format!("write text, not {}", tree.value()))
}

fn whole(tree: &Tree) -> Result<u32, String> {
    let value = tree.value();
    let whole = value.as_u64().and_then(|whole| u32::try_from(whole).ok());
    whole.ok_or_else(|| format!("write a whole number from 0 on, not {value}"))
}
