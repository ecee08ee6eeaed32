//! `replay_break`: set breakpoint at the specified instruction count.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use super::{CommandError, evaluate, require_replay};

pub(crate) const COMMAND: Command = Command {
    names: &["replay_break"],
    parameters: "icount",
    about: "set breakpoint at the specified instruction count",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let icount = evaluate(context, arguments)?;
    require_replay(context, "setting the breakpoint is allowed only in play mode")?;
    if icount < context.control.position().icount {
        return Err(CommandError::Refused("cannot set breakpoint at the instruction in the past".into()));
    }
    Ok(context.control.set_break(icount)?)
}
