//! `quit`: quit the emulator.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["quit", "q"], parameters: "", about: "quit the emulator", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.qmp("quit", json!({}))?;
    Ok(())
}
