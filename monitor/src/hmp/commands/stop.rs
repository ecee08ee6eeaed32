//! `stop`: stop emulation.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["stop", "s"], parameters: "", about: "stop emulation", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.qmp("stop", json!({}))?;
    Ok(())
}
