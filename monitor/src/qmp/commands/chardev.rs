//! Character devices (QAPI: char.json).

use super::{Arguments, Command, Context, Outcome};
use crate::chardev::ring::DEFAULT_BYTES;
use crate::chardev::{Backend, User};
use crate::qmp::QmpError;
use crate::qmp::schema::{Member, NOTHING, Type, optional, required};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dejavm_core::boundary::Inbound;
use serde_json::{Value, json};

const INFO: Type = Type::Object(&[
    required("label", Type::Str),
    required("filename", Type::Str),
    required("frontend-open", Type::Bool),
]);

const FORMAT: Member = optional("format", Type::Enum(&["utf8", "base64"]));

/// The backends that can be made while the run goes on.
const BACKEND: Type = Type::Union {
    base: &[required("type", Type::Enum(&["file", "null", "ringbuf"]))],
    tag: "type",
    variants: &[
        (
            "file",
            &[required("data", Type::Object(&[required("out", Type::Str), optional("append", Type::Bool)]))],
        ),
        ("null", &[required("data", NOTHING)]),
        ("ringbuf", &[required("data", Type::Object(&[optional("size", Type::Int)]))]),
    ],
};

const NEW: &[Member] = &[required("id", Type::Str), required("backend", BACKEND)];

const ID: &[Member] = &[required("id", Type::Str)];

pub(super) const COMMANDS: &[Command] = &[
    Command::new("query-chardev", &[], Type::Array(&INFO), query_chardev),
    Command::new(
        "query-chardev-backends",
        &[],
        Type::Array(&Type::Object(&[required("name", Type::Str)])),
        |_, _| Ok(json!([{"name": "file"}, {"name": "null"}, {"name": "ringbuf"}])),
    ),
    Command::new("chardev-add", NEW, NOTHING, |context, arguments| {
        let backend = backend(&arguments.value("backend").cloned().unwrap_or_default())?;
        done(context.services.chardevs.add(arguments.string("id"), backend, User::Nobody))
    }),
    Command::new("chardev-change", NEW, NOTHING, |context, arguments| {
        let backend = backend(&arguments.value("backend").cloned().unwrap_or_default())?;
        done(context.services.chardevs.change(arguments.string("id"), backend))
    }),
    Command::new("chardev-remove", ID, NOTHING, |context, arguments| {
        done(context.services.chardevs.remove(arguments.string("id")))
    }),
    Command::new("chardev-send-break", ID, NOTHING, chardev_send_break),
    Command::new(
        "ringbuf-read",
        &[required("device", Type::Str), required("size", Type::Int), FORMAT],
        Type::Str,
        ringbuf_read,
    ),
    Command::new(
        "ringbuf-write",
        &[required("device", Type::Str), required("data", Type::Str), FORMAT],
        NOTHING,
        ringbuf_write,
    ),
];

fn done(result: Result<(), String>) -> Outcome {
    result.map(|()| json!({})).map_err(QmpError::generic)
}

/// The backend that a value of [`BACKEND`] means.
fn backend(value: &Value) -> Result<Backend, QmpError> {
    let data = &value["data"];
    match value["type"].as_str() {
        Some("file") => {
            let path = data["out"].as_str().unwrap_or_default().into();
            Ok(Backend::File { path, append: data["append"].as_bool().unwrap_or(false) })
        }
        Some("ringbuf") => {
            let size = data.get("size").map_or(Some(DEFAULT_BYTES), Value::as_u64);
            let size_bytes =
                size.ok_or_else(|| QmpError::generic("Parameter 'size' expects a non-negative number"))?;
            Ok(Backend::Ring { size_bytes })
        }
        _ => Ok(Backend::Null),
    }
}

fn chardev_send_break(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let port = context.services.chardevs.serial_port(arguments.string("id")).map_err(QmpError::generic)?;
    context.control.inject(Inbound::SerialBreak { port })?;
    Ok(json!({}))
}

fn query_chardev(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let info = |c: crate::chardev::Info| {
        let open = c.user != User::Nobody;
        json!({"label": c.label, "filename": c.filename, "frontend-open": open})
    };
    Ok(context.services.chardevs.list().into_iter().map(info).collect::<Value>())
}

fn is_base64(arguments: &Arguments<'_>) -> bool {
    arguments.value("format").is_some_and(|format| format == "base64")
}

fn ringbuf_read(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let size = arguments.unsigned("size")?;
    if size == 0 {
        return Err(QmpError::generic("size must be greater than zero"));
    }
    let bytes = context.services.chardevs.with_ring(arguments.string("device"), |ring| ring.read(size));
    let bytes = bytes.map_err(QmpError::generic)?;
    Ok(match is_base64(arguments) {
        true => json!(BASE64.encode(bytes)),
        // Text that is none has marks where it is none.
        false => json!(String::from_utf8_lossy(&bytes)),
    })
}

fn ringbuf_write(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let data = arguments.string("data");
    let bytes = match is_base64(arguments) {
        true => BASE64.decode(data).map_err(|e| QmpError::generic(format!("Invalid base64 data: {e}")))?,
        false => data.as_bytes().to_vec(),
    };
    done(context.services.chardevs.with_ring(arguments.string("device"), |ring| ring.write(&bytes)))
}
