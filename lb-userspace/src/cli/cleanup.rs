// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche cleanup`: takes everything of ours off the node, or what kube-proxy has left there.

use super::{PinDir, output};
use anyhow::bail;
use clap::Args;
use lb_userspace::{
    datapath::{cleanup::clean_up, pin::Pins},
    leftovers::Leftovers,
    maps::kernel::KernelStore,
    takeover::{self, Conntrack, Translated},
};
use std::path::Path;

#[derive(Debug, Args)]
#[command(
    after_long_help = "Programs and filters that are not ours stay, and so does what belongs \
    to agents with another --pin-dir. Example: weiche cleanup --pin-dir /sys/fs/bpf/weiche\n\n\
    With --kube-proxy, nothing of ours is touched, but kube-proxy's rules are removed: end \
    kube-proxy first. While connections to Services still go through its rules, they stay; \
    `weiche status` counts those. Chains of the kubelet and of others stay too. \
    Example: weiche cleanup --kube-proxy --dry-run"
)]
pub(super) struct CleanupArgs {
    #[command(flatten)]
    pins: PinDir,
    /// Remove the rules that kube-proxy has left on this node, in nftables and iptables, and
    /// nothing of ours.
    #[arg(long)]
    kube_proxy: bool,
    /// Only list what --kube-proxy would remove.
    #[arg(long, requires = "kube_proxy")]
    dry_run: bool,
    /// Remove them even if connections still go through them, which may break.
    #[arg(long, requires = "kube_proxy")]
    now: bool,
}

pub(super) fn execute(args: &CleanupArgs) -> anyhow::Result<()> {
    if args.kube_proxy {
        let when = match args {
            CleanupArgs { dry_run: true, .. } => When::Never,
            CleanupArgs { now: true, .. } => When::Now,
            _ => When::Unused,
        };
        return kube_proxy(&args.pins.pin_dir, when);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let pin_dir = args.pins.pin_dir.display();
    output::text(&match runtime.block_on(clean_up(&args.pins.pin_dir))? {
        Some(hooks) => {
            format!("took our programs off {hooks} hooks, and our pins out of {pin_dir}")
        }
        None => format!("nothing of ours: there is no folder {pin_dir}"),
    })
}

/// When kube-proxy's rules are removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// They are only listed.
    Never,
    /// If no connection to our Services goes through them.
    Unused,
    /// At once.
    Now,
}

/// Removes kube-proxy's rules, or only lists them.
pub(super) fn kube_proxy(pin_dir: &Path, when: When) -> anyhow::Result<()> {
    let leftovers = Leftovers::find()?;
    let items = leftovers.items();
    if when == When::Unused && !items.is_empty() {
        refuse_if_used(pin_dir)?;
    }
    let is_dry = when == When::Never;
    let verb = if is_dry { "would remove" } else { "removing" };
    for item in &items {
        output::text(&format!("{verb} {item}"))?;
    }
    for hint in &leftovers.hints {
        output::text(&format!("note: {hint}"))?;
    }
    if items.is_empty() {
        return output::text("nothing of kube-proxy was found");
    }
    if !is_dry {
        leftovers.remove()?;
        output::text("done")?;
    }
    Ok(())
}

/// An error that names connections which would break; none without pins, as then no Service is
/// known.
fn refuse_if_used(pin_dir: &Path) -> anyhow::Result<()> {
    let pins = Pins::new(pin_dir).current();
    if !pins.exists() {
        return Ok(());
    }
    let store = KernelStore::open(&pins.maps())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let used = runtime.block_on(async { takeover::owned(&Conntrack::open()?, &store).await })?;
    let Some(Translated {
        client, dialled, ..
    }) = used.first()
    else {
        return Ok(());
    };
    bail!(
        "nothing was removed: netfilter still translates {} connections to Services, such as \
         {client} to {dialled}, which may break without kube-proxy's rules. Try again when they \
         have ended (`weiche status` counts them), or give `weiche cleanup --kube-proxy --now`",
        used.len()
    )
}
