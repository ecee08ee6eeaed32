//! `info checkpoints`: show the places of the run that are kept, and what they take.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use dejavm_replay::checkpoint::Summary;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["checkpoints"],
    parameters: "[-a]",
    about: "show the checkpoints that seeks start from, and what they take (-a: each of them)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let all = arguments.option() == Some("a");
    arguments.end()?;
    let Some(kept) = context.control.checkpoints() else {
        let _ = writeln!(context.out, "no checkpoints are kept");
        return Ok(());
    };
    let _ = writeln!(context.out, "{}", summary_line(&kept));
    if let Some(icount) = kept.filling {
        let _ = writeln!(context.out, "more are being taken in the background, now at icount {icount}");
    }
    let icounts = || kept.positions.iter().map(|at| at.icount);
    if all {
        for icount in icounts() {
            let _ = writeln!(context.out, "{icount}");
        }
    } else if let (Some(first), Some(last)) = (icounts().next(), icounts().next_back()) {
        let gaps = icounts().zip(icounts().skip(1)).map(|(a, b)| b - a);
        let widest = gaps.max().unwrap_or(0);
        let _ = writeln!(context.out, "from icount {first} to {last}, at most {widest} instructions apart");
    }
    Ok(())
}

/// How many there are, and what they take.
pub(super) fn summary_line(kept: &Summary) -> String {
    let place = if kept.in_file { "in the side file" } else { "in memory" };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (count, bytes, budget) = (kept.count, mib(kept.bytes), mib(kept.budget_bytes));
    format!("{count} checkpoints, {bytes:.1} MiB of at most {budget:.0} MiB, {place}")
}
