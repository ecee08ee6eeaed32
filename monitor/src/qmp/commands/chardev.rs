//! Character devices (QAPI: char.json).

use super::{Arguments, Command, Context, Outcome};
use crate::chardev::ring::DEFAULT_BYTES;
use crate::chardev::{Backend, KINDS, User};
use crate::qmp::QmpError;
use crate::qmp::schema::{Member, NOTHING, Type, optional, required};
use crate::transport::{Place, SocketSpec};
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

/// Where a socket is (QAPI: SocketAddressLegacy).
const ADDRESS: Type = Type::Union {
    base: &[required("type", Type::Enum(&["inet", "unix"]))],
    tag: "type",
    variants: &[
        (
            "inet",
            &[required("data", Type::Object(&[required("host", Type::Str), required("port", Type::Str)]))],
        ),
        ("unix", &[required("data", Type::Object(&[required("path", Type::Str)]))]),
    ],
};

const SOCKET: Type = Type::Object(&[
    required("addr", ADDRESS),
    optional("server", Type::Bool),
    optional("wait", Type::Bool),
    optional("nodelay", Type::Bool),
]);

/// The backends that can be made while the run goes on.
const BACKEND: Type = Type::Union {
    base: &[required("type", Type::Enum(&KINDS))],
    tag: "type",
    variants: &[
        (
            "file",
            &[required("data", Type::Object(&[required("out", Type::Str), optional("append", Type::Bool)]))],
        ),
        ("null", &[required("data", NOTHING)]),
        ("pipe", &[required("data", Type::Object(&[required("device", Type::Str)]))]),
        ("pty", &[required("data", NOTHING)]),
        ("ringbuf", &[required("data", Type::Object(&[optional("size", Type::Int)]))]),
        ("socket", &[required("data", SOCKET)]),
        ("stdio", &[required("data", NOTHING)]),
    ],
};

/// The terminal that the host has made, if it is one (QAPI: ChardevReturn).
const MADE: Type = Type::Object(&[optional("pty", Type::Str)]);

const NEW: &[Member] = &[required("id", Type::Str), required("backend", BACKEND)];

const ID: &[Member] = &[required("id", Type::Str)];

pub(super) const COMMANDS: &[Command] = &[
    Command::new("query-chardev", &[], Type::Array(&INFO), query_chardev),
    Command::new(
        "query-chardev-backends",
        &[],
        Type::Array(&Type::Object(&[required("name", Type::Str)])),
        |_, _| Ok(KINDS.iter().map(|name| json!({"name": name})).collect()),
    ),
    Command::new("chardev-add", NEW, MADE, |context, arguments| {
        let backend = backend(&arguments.value("backend").cloned().unwrap_or_default())?;
        made(context.services.chardevs.add(arguments.string("id"), backend, User::Nobody))
    }),
    Command::new("chardev-change", NEW, MADE, |context, arguments| {
        let backend = backend(&arguments.value("backend").cloned().unwrap_or_default())?;
        made(context.services.chardevs.change(arguments.string("id"), backend))
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

fn made(result: Result<Option<String>, String>) -> Outcome {
    let terminal = result.map_err(QmpError::generic)?;
    Ok(terminal.map_or_else(|| json!({}), |path| json!({"pty": path})))
}

/// The backend that a value of [`BACKEND`] means.
fn backend(value: &Value) -> Result<Backend, QmpError> {
    let data = &value["data"];
    let text = |member: &Value| member.as_str().unwrap_or_default().to_owned();
    let backend = match value["type"].as_str() {
        Some("file") => Backend::File {
            path: text(&data["out"]).into(),
            append: data["append"].as_bool().unwrap_or(false),
        },
        Some("pipe") => Backend::Remote(Place::Pipe(text(&data["device"]).into())),
        Some("pty") => Backend::Remote(Place::Pty),
        Some("stdio") => Backend::Stdio { mux: false },
        Some("ringbuf") => {
            let size = data.get("size").map_or(Some(DEFAULT_BYTES), Value::as_u64);
            let size_bytes =
                size.ok_or_else(|| QmpError::generic("Parameter 'size' expects a non-negative number"))?;
            Backend::Ring { size_bytes }
        }
        Some("socket") => Backend::Remote(Place::Socket(socket(data).map_err(QmpError::generic)?)),
        _ => Backend::Null,
    };
    backend.without_waiting().map_err(QmpError::generic)
}

/// The socket that a value of [`SOCKET`] means. A program that does not say otherwise does not wait.
fn socket(data: &Value) -> Result<SocketSpec, String> {
    let place = &data["addr"]["data"];
    let word = |name: &str| place[name].as_str().map(|value| format!("{name}={value}"));
    let flag = |name: &str, default: bool| {
        let on = data.get(name).and_then(Value::as_bool).unwrap_or(default);
        Some(format!("{name}={}", if on { "on" } else { "off" }))
    };
    let options = [word("path"), word("host"), word("port"), flag("server", true), flag("wait", false)];
    let options: Vec<String> = options.into_iter().flatten().collect();
    SocketSpec::from_properties(options.iter().map(String::as_str))
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
