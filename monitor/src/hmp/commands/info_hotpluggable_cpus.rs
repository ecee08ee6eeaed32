//! `info hotpluggable-cpus`: Show information about hotpluggable CPUs.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["hotpluggable-cpus"],
    parameters: "",
    about: "Show information about hotpluggable CPUs",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.out.push_str("Hotpluggable CPUs:\n");
    let _ = writeln!(context.out, "  (none: all {} vCPUs are there from the start)", context.control.vcpus());
    Ok(())
}
