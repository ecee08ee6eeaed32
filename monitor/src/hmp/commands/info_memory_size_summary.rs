//! `info memory_size_summary`: show the amount of initially allocated and present hotpluggable (if enabled) memory in bytes..

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["memory_size_summary"],
    parameters: "",
    about: "show the amount of initially allocated and present hotpluggable (if enabled) memory in bytes.",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let value = context.qmp("query-memory-size-summary", json!({}))?;
    let _ = writeln!(context.out, "base memory: {}", value["base-memory"]);
    let _ = writeln!(context.out, "plugged memory: {}", value["plugged-memory"]);
    Ok(())
}
