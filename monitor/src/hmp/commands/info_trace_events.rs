//! `info trace-events`: show available trace-events & their state (name: event name pattern).

use super::super::Context;
use super::super::arguments::Arguments;
use super::trace_event::vcpu_of;
use super::{Command, CommandError, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["trace-events"],
    parameters: "[name] [vcpu]",
    about: "show available trace-events & their state (name: event name pattern; vcpu: vCPU to query, default is \
            any)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let pattern = arguments.word();
    let vcpu = arguments.word().map(vcpu_of).transpose()?;
    arguments.end()?;
    let trace = &context.services.trace;
    let events = match vcpu {
        Some(vcpu) => trace.list_on(pattern.unwrap_or("*"), vcpu),
        None => trace.list(pattern),
    };
    let events = events.map_err(|e| CommandError::Refused(e.to_string()))?;
    for (name, on) in events {
        let _ = writeln!(context.out, "{name} : state {}", u8::from(on));
    }
    Ok(())
}
