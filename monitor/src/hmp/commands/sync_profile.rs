//! `sync-profile`: enable, disable or reset synchronization profiling.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["sync-profile"],
    parameters: "[on|off|reset]",
    about: "enable, disable or reset synchronization profiling. With no arguments, prints whether profiling is on or off.",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let word = arguments.word();
    arguments.end()?;
    let profile = &context.services.profile;
    match word {
        None => {
            let state = if profile.synchronization_is_on() { "on" } else { "off" };
            let _ = writeln!(context.out, "sync-profile is {state}");
        }
        Some("on") => profile.profile_synchronization(true),
        Some("off") => profile.profile_synchronization(false),
        Some("reset") => profile.reset_synchronization(),
        Some(_) => {
            let message = "invalid parameter, expecting 'on', 'off', or 'reset'";
            return Err(CommandError::Usage(message.into()));
        }
    }
    Ok(())
}
