//! Keys from the keyboard (QAPI: ui.json).

use super::{Arguments, Command, Context, Outcome};
use crate::keys::{code_of, code_of_number, press};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use dejavm_core::boundary::Inbound;
use serde_json::{Value, json};

const KEY: Type = Type::Union {
    base: &[required("type", Type::Enum(&["number", "qcode"]))],
    tag: "type",
    variants: &[("number", &[required("data", Type::Int)]), ("qcode", &[required("data", Type::Str)])],
};

pub(super) const COMMANDS: &[Command] = &[Command::new(
    "send-key",
    &[required("keys", Type::Array(&KEY)), optional("hold-time", Type::Int)],
    NOTHING,
    send_key,
)];

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
