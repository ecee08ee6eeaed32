//! `closefd`: close a file descriptor previously passed via SCM rights.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["closefd"],
    parameters: "name",
    about: "close a file descriptor previously passed via SCM rights",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let name = arguments.string()?.to_owned();
    arguments.end()?;
    context.qmp("closefd", json!({"fdname": name})).map(drop)
}
