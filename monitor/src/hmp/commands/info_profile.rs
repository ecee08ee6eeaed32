//! `info profile`: show profiling information: what the host's time was spent on.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use crate::profile::Site;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["profile"], parameters: "", about: "show profiling information", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let profile = &context.services.profile;
    let whole = profile.elapsed().as_secs_f64();
    for (name, site) in [
        ("executing instructions", Site::Run),
        ("waiting, the vCPUs idle", Site::Idle),
        ("standing still", Site::Paused),
        ("commands of monitors", Site::Monitor),
    ] {
        let time = profile.spent(site).time.as_secs_f64();
        let _ = writeln!(context.out, "{name:<26}{time:>12.3} s {:>6.1} %", time * 100.0 / whole);
    }
    let _ = writeln!(context.out, "{:<26}{whole:>12.3} s", "since the program began");
    Ok(())
}
