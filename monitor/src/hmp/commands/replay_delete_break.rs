//! `replay_delete_break`: remove replay breakpoints, one or all.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome, evaluate, require_replay};

pub(crate) const COMMAND: Command = Command {
    names: &["replay_delete_break"],
    parameters: "[icount]",
    about: "remove replay breakpoints (icount: only the one there)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let icount = (!arguments.is_empty()).then(|| evaluate(context, arguments)).transpose()?;
    require_replay(context, "replay breakpoints are allowed only in play mode")?;
    Ok(context.control.delete_break(icount)?)
}
