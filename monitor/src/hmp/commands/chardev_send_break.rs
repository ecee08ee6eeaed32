//! `chardev-send-break`: send a break on chardev.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["chardev-send-break"], parameters: "id", about: "send a break on chardev", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let id = arguments.string()?;
    arguments.end()?;
    context.qmp("chardev-send-break", json!({"id": id}))?;
    Ok(())
}
