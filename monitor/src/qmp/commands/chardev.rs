//! Character devices (QAPI: char.json).

use super::{Arguments, Command, Context, Outcome};
use crate::qmp::schema::{Type, required};
use serde_json::{Value, json};

const INFO: Type = Type::Object(&[
    required("label", Type::Str),
    required("filename", Type::Str),
    required("frontend-open", Type::Bool),
]);

pub(super) const COMMANDS: &[Command] =
    &[Command::new("query-chardev", &[], Type::Array(&INFO), query_chardev)];

fn query_chardev(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let chardevs = context.services.chardevs.borrow();
    let info = |c: &crate::services::Chardev| json!({"label": c.label, "filename": c.filename, "frontend-open": c.open});
    Ok(chardevs.iter().map(info).collect::<Value>())
}
