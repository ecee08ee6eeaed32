//! `info chardev`: show the character devices.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["chardev"], parameters: "", about: "show the character devices", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let value = context.qmp("query-chardev", json!({}))?;
    for chardev in value.as_array().into_iter().flatten() {
        let text = |key: &str| chardev[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(context.out, "{}: filename={}", text("label"), text("filename"));
    }
    Ok(())
}
