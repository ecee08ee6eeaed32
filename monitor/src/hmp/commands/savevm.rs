//! `savevm`: mark this place of a replay; loadvm goes back to it.

use super::super::Context;
use super::super::arguments::Arguments;
use super::require_replay;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["savevm"],
    parameters: "[tag]",
    about: "mark this place of a replay; loadvm goes back to it",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let tag = arguments.word().map(str::to_owned);
    arguments.end()?;
    require_replay(context, "places are marked in replays: record the run, then replay it")?;
    let icount = context.control.position().icount;
    let tag = tag.unwrap_or_else(|| format!("icount-{icount}"));
    if let Some(marks) = context.control.marks() {
        marks.insert(tag, icount);
    }
    Ok(())
}
