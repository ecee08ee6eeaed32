//! `mark`: give the place where the replay stands a name, which `replay_seek` knows.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["mark"],
    parameters: "[-d] name",
    about: "name the place where the replay stands, for replay_seek (-d: forget the name)",
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
    let icount = context.control.position().icount;
    let Some(marks) = context.control.marks() else {
        return Err(CommandError::Refused("replay must be enabled to mark a place".to_owned()));
    };
    if forget {
        let known = marks.remove(name);
        return known.map(|_| ()).ok_or_else(|| CommandError::Refused(format!("there is no mark {name}")));
    }
    marks.insert(name.to_owned(), icount);
    Ok(())
}
