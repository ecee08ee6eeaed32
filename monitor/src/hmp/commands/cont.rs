//! `cont`: resume emulation.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["cont", "c"], parameters: "", about: "resume emulation", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.qmp("cont", json!({}))?;
    Ok(())
}
