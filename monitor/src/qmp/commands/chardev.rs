//! Character devices (QAPI: char.json).

use super::{Arguments, Command, Context, Outcome};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, required};
use dejavm_core::boundary::Inbound;
use serde_json::{Value, json};

const INFO: Type = Type::Object(&[
    required("label", Type::Str),
    required("filename", Type::Str),
    required("frontend-open", Type::Bool),
]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("query-chardev", &[], Type::Array(&INFO), query_chardev),
    Command::new("chardev-send-break", &[required("id", Type::Str)], NOTHING, chardev_send_break),
];

fn chardev_send_break(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let id = arguments.string("id");
    let known = context.services.chardevs.borrow().iter().any(|chardev| chardev.label == id);
    if !known {
        return Err(QmpError::generic(format!("Chardev '{id}' not found")));
    }
    let port = id.strip_prefix("serial").and_then(|n| n.parse().ok());
    let port = port.ok_or_else(|| QmpError::generic(format!("Chardev '{id}' is no serial port")))?;
    context.control.inject(Inbound::SerialBreak { port })?;
    Ok(json!({}))
}

fn query_chardev(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let chardevs = context.services.chardevs.borrow();
    let info = |c: &crate::services::Chardev| json!({"label": c.label, "filename": c.filename, "frontend-open": c.open});
    Ok(chardevs.iter().map(info).collect::<Value>())
}
