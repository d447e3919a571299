// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche cleanup`: takes everything of ours off the node.

use super::{PinDir, output};
use clap::Args;
use lb_userspace::datapath::cleanup::clean_up;

#[derive(Debug, Args)]
#[command(
    after_long_help = "Programs and filters that are not ours stay, and so does what belongs \
    to agents with another --pin-dir. Example: weiche cleanup --pin-dir /sys/fs/bpf/weiche"
)]
pub(super) struct CleanupArgs {
    #[command(flatten)]
    pins: PinDir,
}

pub(super) fn execute(args: &CleanupArgs) -> anyhow::Result<()> {
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
