//! `getfd`: receive a file descriptor via SCM rights and assign it a name.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["getfd"],
    parameters: "name",
    about: "receive a file descriptor via SCM rights and assign it a name",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let name = arguments.string()?.to_owned();
    arguments.end()?;
    context.qmp("getfd", json!({"fdname": name})).map(drop)
}
