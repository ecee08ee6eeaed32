//! File descriptors that clients pass (QAPI: misc.json).

use super::{Arguments, Command, Context, Outcome};
use crate::descriptors::Descriptors;
use crate::qmp::QmpError;
use crate::qmp::schema::{Member, NOTHING, Type, required};
use serde_json::json;

const NAME: &[Member] = &[required("fdname", Type::Str)];

pub(super) const COMMANDS: &[Command] = &[
    Command::new("getfd", NAME, NOTHING, |c, a| with_name(c, a, Descriptors::name)),
    Command::new("closefd", NAME, NOTHING, |c, a| with_name(c, a, Descriptors::close)),
];

fn with_name(
    context: &mut Context<'_>,
    arguments: &Arguments<'_>,
    act: fn(&mut Descriptors, &str) -> Result<(), String>,
) -> Outcome {
    let done = act(&mut context.services.descriptors.borrow_mut(), arguments.string("fdname"));
    done.map(|()| json!({})).map_err(QmpError::generic)
}
