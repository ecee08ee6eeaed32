//! `info trace-events`: show available trace-events & their state (name: event name pattern).

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["trace-events"],
    parameters: "[name]",
    about: "show available trace-events & their state (name: event name pattern)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let pattern = arguments.word();
    arguments.end()?;
    let events = context.services.trace.list(pattern).map_err(|e| CommandError::Refused(e.to_string()))?;
    for (name, on) in events {
        let _ = writeln!(context.out, "{name} : state {}", u8::from(on));
    }
    Ok(())
}
