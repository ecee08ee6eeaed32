//! `system_wakeup`: wakeup guest from suspend.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["system_wakeup"], parameters: "", about: "wakeup guest from suspend", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.qmp("system_wakeup", json!({})).map(drop)
}
