//! `info tasks`: the processes of a Linux guest.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["tasks", "ps"],
    parameters: "[-t]",
    about: "show the processes of a Linux guest (-t: with their threads)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let threads = match arguments.option() {
        None => false,
        Some("t") => true,
        Some(other) => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
    };
    arguments.end()?;
    let machine = context.control.machine();
    let kernel = context.services.linux.kernel(machine)?;
    let view = kernel.at(machine);
    let tasks = if threads { view.tasks()? } else { view.processes()? };
    context.out.push_str(&view.task_table(&tasks, threads));
    Ok(())
}
