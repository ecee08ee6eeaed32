//! What this interface offers (QAPI: introspect.json, control.json).

use super::{Command, all};
use crate::qmp::event::EVENTS;
use crate::qmp::schema::{Member, Type, introspect, optional, required};
use crate::qmp::version;
use serde_json::{Value, json};

const TRIPLE: Type =
    Type::Object(&[required("major", Type::Int), required("minor", Type::Int), required("micro", Type::Int)]);

/// What an entry of the schema says of a member.
const MEMBER: Type =
    Type::Object(&[required("name", Type::Str), required("type", Type::Str), optional("default", Type::Any)]);

/// What entries of each kind have besides their name.
const KINDS: &[(&str, &[Member])] = &[
    ("builtin", &[required("json-type", Type::Str)]),
    (
        "enum",
        &[
            required("members", Type::Array(&Type::Object(&[required("name", Type::Str)]))),
            required("values", Type::Array(&Type::Str)),
        ],
    ),
    ("array", &[required("element-type", Type::Str)]),
    (
        "object",
        &[
            required("members", Type::Array(&MEMBER)),
            optional("tag", Type::Str),
            optional(
                "variants",
                Type::Array(&Type::Object(&[required("case", Type::Str), required("type", Type::Str)])),
            ),
        ],
    ),
    (
        "command",
        &[
            required("arg-type", Type::Str),
            required("ret-type", Type::Str),
            optional("allow-oob", Type::Bool),
        ],
    ),
    ("event", &[required("arg-type", Type::Str)]),
];

const ENTRY: Type = Type::Union {
    base: &[
        required("name", Type::Str),
        required("meta-type", Type::Enum(&["builtin", "enum", "array", "object", "command", "event"])),
    ],
    tag: "meta-type",
    variants: KINDS,
};

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "query-version",
        &[],
        Type::Object(&[required("qemu", TRIPLE), required("package", Type::Str)]),
        |_, _| Ok(version()),
    ),
    Command::new(
        "query-commands",
        &[],
        Type::Array(&Type::Object(&[required("name", Type::Str)])),
        |_, _| Ok(all().iter().map(|command| json!({"name": command.name})).collect::<Value>()),
    ),
    Command::new("query-qmp-schema", &[], Type::Array(&ENTRY), |_, _| {
        Ok(Value::Array(introspect(&all(), EVENTS)))
    }),
];
