//! `savevm`: mark this place of a recording or a replay; loadvm goes back to it.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::control::Mark;

pub(crate) const COMMAND: Command = Command {
    names: &["savevm"],
    parameters: "[tag]",
    about: "mark this place of a recording or a replay; in a replay loadvm goes back to it",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let tag = arguments.word().map(str::to_owned);
    arguments.end()?;
    let at = context.control.position();
    let tag = tag.unwrap_or_else(|| format!("icount-{}", at.icount));
    let marks = context.control.marks();
    let marks = marks.ok_or_else(|| {
        CommandError::Refused("Error: nothing is recorded that a place could be marked in".into())
    })?;
    marks.insert(tag, Mark::now(at));
    Ok(context.control.keep_marks()?)
}
