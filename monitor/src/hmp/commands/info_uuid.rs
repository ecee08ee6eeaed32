//! `info uuid`: show the current VM UUID.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["uuid"], parameters: "", about: "show the current VM UUID", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let value = context.qmp("query-uuid", json!({}))?;
    let _ = writeln!(context.out, "{}", value["UUID"].as_str().unwrap_or_default());
    Ok(())
}
