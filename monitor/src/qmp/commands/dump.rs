//! Dumps of guest memory (QAPI: dump.json).

use super::{Arguments, Command, Context, Outcome};
use crate::dump::{Destination, Format, MachineSource, Request, State, Status};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use serde_json::{Value, json};

/// The state of a dump, and how much of it there is.
pub(crate) const STATUS: Type = Type::Object(&[
    required("status", Type::Enum(&State::NAMES)),
    required("completed", Type::Int),
    required("total", Type::Int),
]);

const FORMAT: Type = Type::Enum(&Format::NAMES);

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "dump-guest-memory",
        &[
            required("paging", Type::Bool),
            required("protocol", Type::Str),
            optional("detach", Type::Bool),
            optional("begin", Type::Int),
            optional("length", Type::Int),
            optional("format", FORMAT),
        ],
        NOTHING,
        dump_guest_memory,
    ),
    Command::new("query-dump", &[], STATUS, |context, _| Ok(status(&context.services.dumps.status()))),
    Command::new(
        "query-dump-guest-memory-capability",
        &[],
        Type::Object(&[required("formats", Type::Array(&FORMAT))]),
        |_, _| Ok(json!({"formats": Format::NAMES})),
    ),
];

/// As [`STATUS`] describes it.
pub(crate) fn status(status: &Status) -> Value {
    json!({"status": status.state.name(), "completed": status.completed, "total": status.total})
}

fn dump_guest_memory(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let missing = |name| Err(QmpError::generic(format!("Parameter '{name}' is missing")));
    let range = match (arguments.integer("begin"), arguments.integer("length")) {
        (None, None) => None,
        (Some(begin), Some(length)) => Some((begin, length)),
        (Some(_), None) => return missing("length"),
        (None, Some(_)) => return missing("begin"),
    };
    let format = arguments.value("format").and_then(Value::as_str);
    let format = format.and_then(Format::from_name).unwrap_or(Format::Elf);
    let request = Request { format, paging: arguments.flag("paging"), range };
    let destination = destination(context, arguments.string("protocol"))?;
    let source = MachineSource::new(context.control.machine());
    let dumps = &context.services.dumps;
    match dumps.start(&source, &request, destination, arguments.flag("detach")) {
        Ok(()) => Ok(json!({})),
        Err(error) => Err(QmpError::generic(error.to_string())),
    }
}

fn destination(context: &Context<'_>, protocol: &str) -> Result<Destination, QmpError> {
    if let Some(path) = protocol.strip_prefix("file:") {
        return Ok(Destination::Path(path.into()));
    }
    let name = protocol.strip_prefix("fd:");
    let name =
        name.ok_or_else(|| QmpError::generic("parameter 'protocol' must start with 'file:' or 'fd:'"))?;
    let file = context.services.descriptors.borrow_mut().take(name);
    file.map(Destination::Open).map_err(QmpError::generic)
}
