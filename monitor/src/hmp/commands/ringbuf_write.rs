//! `ringbuf_write`: Write to a ring buffer character device.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["ringbuf_write"],
    parameters: "device data",
    about: "Write to a ring buffer character device",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let device = arguments.string()?.to_owned();
    let data = arguments.remainder();
    if data.is_empty() {
        return Err(CommandError::StringExpected);
    }
    let quoted = data.strip_prefix('"').and_then(|data| data.strip_suffix('"'));
    match context.qmp("ringbuf-write", json!({"device": device, "data": quoted.unwrap_or(data)})) {
        Err(CommandError::Refused(message)) => Err(CommandError::Refused(format!("Error: {message}"))),
        other => other.map(drop),
    }
}
