//! `qom-get`: print QOM property.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["qom-get"], parameters: "path property", about: "print QOM property", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let path = arguments.string()?;
    let property = arguments.string()?;
    arguments.end()?;
    let value = context.qmp("qom-get", json!({"path": path, "property": property}))?;
    let _ = writeln!(context.out, "{value}");
    Ok(())
}
