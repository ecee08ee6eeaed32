//! Trace events on and off (QAPI: trace.json).

use super::{Arguments, Command, Context, Outcome};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use serde_json::{Value, json};

const STATE: Type = Type::Object(&[
    required("name", Type::Str),
    required("state", Type::Enum(&["unavailable", "disabled", "enabled"])),
]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "trace-event-get-state",
        &[required("name", Type::Str)],
        Type::Array(&STATE),
        trace_event_get_state,
    ),
    Command::new(
        "trace-event-set-state",
        &[
            required("name", Type::Str),
            required("enable", Type::Bool),
            optional("ignore-unavailable", Type::Bool),
        ],
        NOTHING,
        trace_event_set_state,
    ),
];

fn trace_event_get_state(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let events = context.services.trace.list(Some(arguments.string("name")));
    let events = events.map_err(|e| QmpError::generic(e.to_string()))?;
    let state = |on| if on { "enabled" } else { "disabled" };
    Ok(events.into_iter().map(|(name, on)| json!({"name": name, "state": state(on)})).collect::<Value>())
}

fn trace_event_set_state(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let set = context.services.trace.set(arguments.string("name"), arguments.flag("enable"));
    set.map(|()| json!({})).map_err(|e| QmpError::generic(e.to_string()))
}
