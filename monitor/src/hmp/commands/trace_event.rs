//! `trace-event`: changes status of a specific trace event (name: event name pattern).

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["trace-event"],
    parameters: "name on|off",
    about: "changes status of a specific trace event (name: event name pattern)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let name = arguments.string()?;
    let on = match arguments.string()? {
        "on" => true,
        "off" => false,
        _ => return Err(CommandError::Usage("Expected 'on' or 'off'".to_owned())),
    };
    arguments.end()?;
    context.qmp("trace-event-set-state", json!({"name": name, "enable": on}))?;
    Ok(())
}
