// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche cleanup`: takes everything of ours off the node, or what kube-proxy has left there.

use super::{PinDir, output};
use clap::Args;
use lb_userspace::{datapath::cleanup::clean_up, leftovers::Leftovers};

#[derive(Debug, Args)]
#[command(
    after_long_help = "Programs and filters that are not ours stay, and so does what belongs \
    to agents with another --pin-dir. Example: weiche cleanup --pin-dir /sys/fs/bpf/weiche\n\n\
    With --kube-proxy, nothing of ours is touched, but kube-proxy's rules are removed: end \
    kube-proxy first, and wait until the connections that go through its rules have ended. \
    Chains of the kubelet and of others stay. Example: weiche cleanup --kube-proxy --dry-run"
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
}

pub(super) fn execute(args: &CleanupArgs) -> anyhow::Result<()> {
    if args.kube_proxy {
        return kube_proxy(args.dry_run);
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

/// Removes kube-proxy's rules, or only lists them.
pub(super) fn kube_proxy(dry_run: bool) -> anyhow::Result<()> {
    let leftovers = Leftovers::find()?;
    let items = leftovers.items();
    let verb = if dry_run { "would remove" } else { "removing" };
    for item in &items {
        output::text(&format!("{verb} {item}"))?;
    }
    for hint in &leftovers.hints {
        output::text(&format!("note: {hint}"))?;
    }
    if items.is_empty() {
        return output::text("nothing of kube-proxy was found");
    }
    if !dry_run {
        leftovers.remove()?;
        output::text("done")?;
    }
    Ok(())
}
