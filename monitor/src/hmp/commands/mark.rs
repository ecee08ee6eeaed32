//! `mark`: give the place where the run stands a name, which `replay_seek` knows.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::control::is_mark_name;
use serde_json::json;

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
    if !is_mark_name(&name) {
        return Err(CommandError::Usage("a mark's name begins with a letter".to_owned()));
    }
    context.qmp("replay-mark", json!({"name": name, "delete": forget}))?;
    Ok(())
}
