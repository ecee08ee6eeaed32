//! `loadvm`: go to the place of a replay that savevm has marked.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::require_replay;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["loadvm"],
    parameters: "tag",
    about: "go to the place of a replay that savevm has marked",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let tag = arguments.string()?;
    arguments.end()?;
    require_replay(context, "Error: only a replay goes back: record the run, then replay it")?;
    let mark = context.control.marks().and_then(|marks| marks.get(tag).copied());
    let mark = mark.ok_or_else(|| {
        CommandError::Refused(format!("Error: Snapshot '{tag}' does not exist in this recording"))
    })?;
    Ok(context.control.seek(mark.at.icount)?)
}
