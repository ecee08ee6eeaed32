//! `info hotpluggable-cpus`: Show information about hotpluggable CPUs.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::qom::NO_HOTPLUG;

pub(crate) const COMMAND: Command = Command {
    names: &["hotpluggable-cpus"],
    parameters: "",
    about: "Show information about hotpluggable CPUs",
    run,
};

fn run(_: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    Err(CommandError::Refused(format!("Error: {NO_HOTPLUG}")))
}
