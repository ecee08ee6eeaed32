//! `qom-set`: set QOM property..

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use crate::qmp::parse;
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["qom-set"], parameters: "[-j] path property value", about: "set QOM property.", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let mut path = arguments.string()?;
    let as_json = path == "-j";
    if as_json {
        path = arguments.string()?;
    }
    let property = arguments.string()?;
    let text = arguments.remainder();
    if text.is_empty() {
        return Err(CommandError::StringExpected);
    }
    let value = match as_json {
        true => parse(text.as_bytes()).map_err(|e| CommandError::Refused(e.to_string()))?,
        false => json!(text),
    };
    context.qmp("qom-set", json!({"path": path, "property": property, "value": value}))?;
    Ok(())
}
