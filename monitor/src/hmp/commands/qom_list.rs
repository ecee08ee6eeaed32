//! `qom-list`: list QOM properties.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["qom-list"], parameters: "path", about: "list QOM properties", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let path = arguments.word().unwrap_or("/");
    arguments.end()?;
    let list = context.qmp("qom-list", json!({"path": path}))?;
    for property in list.as_array().into_iter().flatten() {
        let text = |key: &str| property[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(context.out, "{} ({})", text("name"), text("type"));
    }
    Ok(())
}
