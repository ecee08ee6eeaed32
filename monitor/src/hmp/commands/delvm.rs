//! `delvm`: forget a place that savevm has marked.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["delvm"], parameters: "tag", about: "forget a place that savevm has marked", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let tag = arguments.string()?;
    arguments.end()?;
    match context.control.marks().and_then(|marks| marks.remove(tag)) {
        Some(_) => Ok(context.control.keep_marks()?),
        None => {
            Err(CommandError::Refused(format!("Error: Snapshot '{tag}' does not exist in this recording")))
        }
    }
}
