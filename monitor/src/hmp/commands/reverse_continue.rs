//! `reverse_continue`: go back to the last place where the run was to stop.

use super::super::Context;
use super::super::arguments::Arguments;
use super::step::show_place;
use super::{Command, CommandError, Outcome, evaluate};
use serde_json::{Value, json};

pub(crate) const COMMAND: Command = Command {
    names: &["reverse_continue"],
    parameters: "[addr|-e [vector]|-i [vector]]",
    about: "go back to the last replay breakpoint, or to the start of the recording, and show the next instruction \
            (addr: to where the instruction at addr was last about to be executed; -e: to the last exception; -i: to \
            the last interrupt; vector: only those with this vector)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let condition = condition(context, arguments)?;
    let to_break = condition == json!({});
    let place = context.qmp("replay-reverse-continue", condition)?;
    show_place(context, &place, to_break, "there was none before")
}

/// What is looked for, as QMP has it.
fn condition(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Result<Value, CommandError> {
    let option = arguments.option();
    let value = if arguments.is_empty() { None } else { Some(evaluate(context, arguments)?) };
    let event = match option {
        None => return Ok(value.map_or(json!({}), |address| json!({"address": address}))),
        Some("e") => "exception",
        Some("i") => "interrupt",
        Some(other) => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
    };
    Ok(value.map_or(json!({"event": event}), |vector| json!({"event": event, "vector": vector})))
}
