//! `ringbuf_read`: Read from a ring buffer character device.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome, evaluate};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["ringbuf_read"],
    parameters: "device size",
    about: "Read from a ring buffer character device",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let device = arguments.string()?.to_owned();
    let size = evaluate(context, arguments)?;
    let text = match context.qmp("ringbuf-read", json!({"device": device, "size": size})) {
        Err(CommandError::Refused(message)) => {
            return Err(CommandError::Refused(format!("Error: {message}")));
        }
        other => other?,
    };
    for c in text.as_str().unwrap_or_default().chars() {
        // As QEMU shows them, so that a terminal is not told anything.
        match c {
            '\\' => context.out.push_str("\\\\"),
            '\n' => context.out.push('\n'),
            '\0'..='\u{1F}' | '\u{7F}' => {
                let _ = write!(context.out, "\\u{:04X}", u32::from(c));
            }
            _ => context.out.push(c),
        }
    }
    context.out.push('\n');
    Ok(())
}
