//! `info sync-profile`: show synchronization profiling info: where the thread that owns the machine
//! has waited.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome, evaluate};
use crate::profile::Spent;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["sync-profile"],
    parameters: "[-m] [-n] [max]",
    about: "show synchronization profiling info, up to max entries (default: 10), sorted by total wait time. \
            (-m: sort by mean wait time; -n: do not coalesce objects with the same call site)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let mut by_mean = false;
    while let Some(letters) = arguments.option() {
        for letter in letters.chars() {
            match letter {
                'm' => by_mean = true,
                // Each call site here is of one object.
                'n' => {}
                other => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
            }
        }
    }
    let most = if arguments.is_empty() { 10 } else { evaluate(context, arguments)? };
    let mut waits = context.services.profile.waits();
    let mean = |spent: &Spent| spent.time.as_secs_f64() / spent.count as f64;
    let key = |spent: &Spent| if by_mean { mean(spent) } else { spent.time.as_secs_f64() };
    waits.sort_by(|(_, a), (_, b)| key(b).total_cmp(&key(a)));
    let out = &mut context.out;
    let head = ["Type", "Object", "Call site", "Wait Time (s)", "Count", "Average (us)"];
    let [kind, object, site, time, count, average] = head;
    let _ = writeln!(out, "{kind:<10} {object:<14} {site:<10} {time:>14} {count:>12} {average:>14}");
    out.push_str(&"-".repeat(79));
    out.push('\n');
    for (site, spent) in waits.iter().take(usize::try_from(most).unwrap_or(usize::MAX)) {
        let Some((kind, object, site)) = site.wait() else { continue };
        let (time, mean_us) = (spent.time.as_secs_f64(), mean(spent) * 1e6);
        let _ = writeln!(
            out,
            "{kind:<10} {object:<14} {site:<10} {time:>14.6} {:>12} {mean_us:>14.2}",
            spent.count
        );
    }
    Ok(())
}
