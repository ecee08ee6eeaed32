//! `info name`: show the current VM name.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["name"], parameters: "", about: "show the current VM name", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let value = context.qmp("query-name", json!({}))?;
    if let Some(name) = value["name"].as_str() {
        let _ = writeln!(context.out, "{name}");
    }
    Ok(())
}
