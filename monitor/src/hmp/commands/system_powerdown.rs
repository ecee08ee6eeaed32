//! `system_powerdown`: send system power down event.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["system_powerdown"], parameters: "", about: "send system power down event", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.qmp("system_powerdown", json!({}))?;
    Ok(())
}
