//! Whether a value is of a type; the words of the answer are those of QEMU.

use super::{Member, Type};
use crate::qmp::QmpError;
use serde_json::{Map, Value};

/// Checks the arguments of a command.
///
/// # Errors
/// What is missing, too many, or of the wrong type.
pub fn check_arguments(members: &[Member], arguments: &Map<String, Value>) -> Result<(), QmpError> {
    object(&members.iter().collect::<Vec<_>>(), arguments, "")
}

/// Checks a value; `path` is how the error names it.
///
/// # Errors
/// What is missing, too many, or of the wrong type.
pub fn check_value(kind: &Type, value: &Value, path: &str) -> Result<(), QmpError> {
    let wrong = |expected: &str| {
        Err(QmpError::generic(format!("Invalid parameter type for '{path}', expected: {expected}")))
    };
    match (kind, value) {
        (Type::Any, _) | (Type::Str, Value::String(_)) | (Type::Bool, Value::Bool(_)) => Ok(()),
        (Type::Int, Value::Number(n)) if n.is_i64() || n.is_u64() => Ok(()),
        (Type::Enum(words), Value::String(word)) => match words.contains(&word.as_str()) {
            true => Ok(()),
            false => Err(QmpError::generic(format!("Parameter '{path}' does not accept value '{word}'"))),
        },
        (Type::Array(item), Value::Array(list)) => {
            list.iter().enumerate().try_for_each(|(n, v)| check_value(item, v, &format!("{path}[{n}]")))
        }
        (Type::Object(members), Value::Object(map)) => object(&members.iter().collect::<Vec<_>>(), map, path),
        (Type::Union { base, tag, variants }, Value::Object(map)) => union(base, tag, variants, map, path),
        (Type::Str | Type::Enum(_), _) => wrong("string"),
        (Type::Int, _) => wrong("integer"),
        (Type::Bool, _) => wrong("boolean"),
        (Type::Array(_), _) => wrong("array"),
        (Type::Object(_) | Type::Union { .. }, _) => wrong("object"),
    }
}

fn union(
    base: &[Member],
    tag: &str,
    variants: &[(&str, &[Member])],
    map: &Map<String, Value>,
    path: &str,
) -> Result<(), QmpError> {
    let word = map.get(tag).and_then(Value::as_str);
    let variant = variants.iter().find(|(case, _)| Some(*case) == word).map_or(&[][..], |(_, m)| m);
    object(&base.iter().chain(variant).collect::<Vec<_>>(), map, path)
}

fn object(members: &[&Member], map: &Map<String, Value>, path: &str) -> Result<(), QmpError> {
    let full = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for member in members {
        match map.get(member.name) {
            Some(value) => check_value(&member.kind, value, &full(member.name))?,
            None if member.optional => {}
            None => {
                return Err(QmpError::generic(format!("Parameter '{}' is missing", full(member.name))));
            }
        }
    }
    match map.keys().find(|name| members.iter().all(|m| m.name != name.as_str())) {
        Some(name) => Err(QmpError::generic(format!("Parameter '{}' is unexpected", full(name)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{optional, required};
    use super::*;
    use serde_json::json;

    const MEMBERS: &[Member] = &[
        required("n", Type::Int),
        optional("list", Type::Array(&Type::Object(&[required("b", Type::Bool)]))),
        optional("word", Type::Enum(&["on", "off"])),
        optional(
            "u",
            Type::Union {
                base: &[required("type", Type::Enum(&["x", "y"]))],
                tag: "type",
                variants: &[("x", &[required("data", Type::Str)]), ("y", &[])],
            },
        ),
    ];

    fn said(arguments: &Value) -> String {
        match check_arguments(MEMBERS, arguments.as_object().unwrap()) {
            Ok(()) => String::new(),
            Err(error) => error.desc,
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, expected) in [
            (json!({"n": 1}), ""),
            (json!({"n": u64::MAX, "list": [{"b": true}], "word": "on"}), ""),
            (json!({"n": 1, "u": {"type": "x", "data": "d"}}), ""),
            (json!({"n": 1, "u": {"type": "y"}}), ""),
            (json!({}), "Parameter 'n' is missing"),
            (json!({"n": "1"}), "Invalid parameter type for 'n', expected: integer"),
            (json!({"n": 1.5}), "Invalid parameter type for 'n', expected: integer"),
            (json!({"n": 1, "x": 1}), "Parameter 'x' is unexpected"),
            (json!({"n": 1, "list": {}}), "Invalid parameter type for 'list', expected: array"),
            (
                json!({"n": 1, "list": [{"b": 1}]}),
                "Invalid parameter type for 'list[0].b', expected: boolean",
            ),
            (json!({"n": 1, "word": "x"}), "Parameter 'word' does not accept value 'x'"),
            (json!({"n": 1, "u": {"type": "x"}}), "Parameter 'u.data' is missing"),
            (json!({"n": 1, "u": {"type": "y", "data": 1}}), "Parameter 'u.data' is unexpected"),
            (json!({"n": 1, "u": {"type": "z"}}), "Parameter 'u.type' does not accept value 'z'"),
        ] {
            assert_eq!(said(&arguments), expected, "{arguments}");
        }
    }
}
