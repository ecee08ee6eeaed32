//! `watchdog_action`: change watchdog action.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::qmp::WATCHDOG_ACTIONS;
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["watchdog_action"],
    parameters: "[reset|shutdown|poweroff|pause|debug|none|inject-nmi]",
    about: "change watchdog action (remembered: this machine has no watchdog that would act)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let action = arguments.string()?;
    arguments.end()?;
    if !WATCHDOG_ACTIONS.contains(&action) {
        return Err(CommandError::Refused(format!("Error: invalid parameter value: {action}")));
    }
    context.qmp("watchdog-set-action", json!({"action": action})).map(drop)
}
