//! `logfile`: output logs to 'filename'.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use std::path::Path;

pub(crate) const COMMAND: Command = Command {
    names: &["logfile"],
    parameters: "filename",
    about: "output logs, and the trace events among them, to 'filename' (-: to stderr)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let file = arguments.word().ok_or(CommandError::FilenameExpected)?;
    arguments.end()?;
    let path = (file != "-").then(|| Path::new(file));
    context.services.log.set_file(path).map_err(|e| CommandError::Refused(format!("Error: {e}")))
}
