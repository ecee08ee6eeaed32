//! Keys from the keyboard (QAPI: ui.json).

use super::{Arguments, Command, Context, Outcome};
use crate::keys::{code_of, code_of_number, press, stroke};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use dejavm_core::boundary::Inbound;
use serde_json::{Value, json};

const KEY: Type = Type::Union {
    base: &[required("type", Type::Enum(&["number", "qcode"]))],
    tag: "type",
    variants: &[("number", &[required("data", Type::Int)]), ("qcode", &[required("data", Type::Str)])],
};

/// Of QEMU's input devices this machine has the keyboard.
const INPUT: Type = Type::Union {
    base: &[required("type", Type::Enum(&["key"]))],
    tag: "type",
    variants: &[(
        "key",
        &[required("data", Type::Object(&[required("key", KEY), required("down", Type::Bool)]))],
    )],
};

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "send-key",
        &[required("keys", Type::Array(&KEY)), optional("hold-time", Type::Int)],
        NOTHING,
        send_key,
    ),
    Command::new("input-send-event", &[required("events", Type::Array(&INPUT))], NOTHING, input_send_event),
];

fn input_send_event(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let events = arguments.value("events").and_then(Value::as_array);
    let strokes = events.into_iter().flatten().map(|event| {
        let data = &event["data"];
        Ok(stroke(code(&data["key"])?, data["down"] == json!(true)))
    });
    let scan_codes = strokes.collect::<Result<Vec<_>, QmpError>>()?.concat();
    if !scan_codes.is_empty() {
        context.control.inject(Inbound::Keyboard { scan_codes })?;
    }
    Ok(json!({}))
}

/// The keys are released at once: a time between would be one of the host.
fn send_key(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let keys = arguments.value("keys").and_then(Value::as_array);
    let codes: Vec<u16> = keys.into_iter().flatten().map(code).collect::<Result<_, _>>()?;
    if codes.is_empty() {
        return Err(QmpError::generic("Parameter 'keys' expects at least one key"));
    }
    context.control.inject(Inbound::Keyboard { scan_codes: press(&codes) })?;
    Ok(json!({}))
}

fn code(key: &Value) -> Result<u16, QmpError> {
    let data = &key["data"];
    let code = match data {
        Value::String(name) => code_of(name),
        number => number.as_u64().and_then(code_of_number),
    };
    code.ok_or_else(|| QmpError::generic(format!("there is no key {data}")))
}
