//! What the human monitor's `info` tells, as text for programs (QAPI: machine.json, misc.json).

use super::{Arguments, Command, Context, Outcome};
use crate::hmp::Hmp;
use crate::qmp::schema::{Type, required};
use serde_json::json;

const TEXT: Type = Type::Object(&[required("human-readable-text", Type::Str)]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("x-query-interrupt-controllers", &[], TEXT, |c, a| text(c, a, "info pic")),
    Command::new("x-query-irq", &[], TEXT, |c, a| text(c, a, "info irq")),
    Command::new("x-query-jit", &[], TEXT, |c, a| text(c, a, "info jit")),
    Command::new("x-query-numa", &[], TEXT, |c, a| text(c, a, "info numa")),
    Command::new("x-query-opcount", &[], TEXT, |c, a| text(c, a, "info opcount")),
    Command::new("x-query-profile", &[], TEXT, |c, a| text(c, a, "info profile")),
    Command::new("x-query-ramblock", &[], TEXT, |c, a| text(c, a, "info ramblock")),
    Command::new("x-query-roms", &[], TEXT, |c, a| text(c, a, "info roms")),
];

fn text(context: &mut Context<'_>, _: &Arguments<'_>, line: &str) -> Outcome {
    let text = Hmp::new(context.services.clone()).execute(line, context.control);
    Ok(json!({"human-readable-text": text}))
}
