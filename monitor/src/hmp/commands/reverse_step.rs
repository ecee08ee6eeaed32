//! `reverse_step`: go back one instruction, or as many as given, and show the next.

use super::super::Context;
use super::super::arguments::Arguments;
use super::step::show_next;
use super::{Command, Outcome};
use super::{evaluate, require_replay};

pub(crate) const COMMAND: Command = Command {
    names: &["reverse_step"],
    parameters: "[count]",
    about: "go back one instruction, or as many as given, and show the next",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let count = if arguments.is_empty() { 1 } else { evaluate(context, arguments)? };
    require_replay(context, "replay must be enabled to go back")?;
    let here = context.control.position().icount;
    let goal = context.control.steps_back(here, count)?;
    context.control.seek(goal)?;
    show_next(context)
}
