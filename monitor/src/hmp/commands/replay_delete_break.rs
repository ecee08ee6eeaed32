//! `replay_delete_break`: remove replay breakpoint.

use super::super::Context;
use super::super::arguments::Arguments;
use super::require_replay;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["replay_delete_break"], parameters: "", about: "remove replay breakpoint", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    require_replay(context, "replay breakpoints are allowed only in play mode")?;
    Ok(context.control.delete_break(None)?)
}
