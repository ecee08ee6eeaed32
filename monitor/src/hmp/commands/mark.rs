//! `mark`: give the place where the run stands a name, which `replay_seek` knows.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::control::Mark;

pub(crate) const COMMAND: Command = Command {
    names: &["mark"],
    parameters: "[-d] name",
    about: "name the place where the run stands, for replay_seek (-d: forget the name)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let forget = match arguments.option() {
        None => false,
        Some("d") => true,
        Some(other) => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
    };
    let name = arguments.string()?;
    arguments.end()?;
    if !name.starts_with(|c: char| c.is_alphabetic()) {
        return Err(CommandError::Usage("a mark's name begins with a letter".to_owned()));
    }
    let at = context.control.position();
    let Some(marks) = context.control.marks() else {
        return Err(CommandError::Refused("nothing is recorded that a place could be marked in".to_owned()));
    };
    if forget {
        let known = marks.remove(name);
        known.ok_or_else(|| CommandError::Refused(format!("there is no mark {name}")))?;
    } else {
        marks.insert(name.to_owned(), Mark::now(at));
    }
    Ok(context.control.keep_marks()?)
}
