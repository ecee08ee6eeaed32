//! The tree of objects (QAPI: qom.json).

use super::{Arguments, Command, Context, Outcome};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use crate::qom::{ABSTRACT_TYPES, ONE_INSTRUCTION, Object, ancestors, tree, type_of};
use crate::translation::set_one_instruction;
use serde_json::{Value, json};

const PROPERTY: Type = Type::Object(&[required("name", Type::Str), required("type", Type::Str)]);

const TYPE_INFO: Type = Type::Object(&[
    required("name", Type::Str),
    optional("abstract", Type::Bool),
    optional("parent", Type::Str),
]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("qom-list", &[required("path", Type::Str)], Type::Array(&PROPERTY), qom_list),
    Command::new(
        "qom-get",
        &[required("path", Type::Str), required("property", Type::Str)],
        Type::Any,
        qom_get,
    ),
    Command::new(
        "qom-set",
        &[required("path", Type::Str), required("property", Type::Str), required("value", Type::Any)],
        NOTHING,
        qom_set,
    ),
    Command::new(
        "qom-list-types",
        &[optional("implements", Type::Str), optional("abstract", Type::Bool)],
        Type::Array(&TYPE_INFO),
        qom_list_types,
    ),
    Command::new(
        "qom-list-properties",
        &[required("typename", Type::Str)],
        Type::Array(&PROPERTY),
        |context, arguments| list_properties(context, arguments.string("typename")),
    ),
    Command::new(
        "device-list-properties",
        &[required("typename", Type::Str)],
        Type::Array(&PROPERTY),
        device_list_properties,
    ),
];

/// How the human monitor writes truth values.
const ON_OFF: [(&str, bool); 6] =
    [("on", true), ("yes", true), ("true", true), ("off", false), ("no", false), ("false", false)];

fn object(context: &mut Context<'_>, path: &str) -> Result<Object, QmpError> {
    let tree = tree(context.control, context.services);
    let found = tree.find(path).cloned();
    found.ok_or_else(|| QmpError::no_device(format!("Device '{path}' not found")))
}

/// The types of the objects that this machine is made of, and with `abstract` what they descend from.
fn qom_list_types(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let root = tree(context.control, context.services);
    let mut kinds: Vec<&str> = root.walk().iter().map(|object| object.kind).collect();
    if arguments.flag("abstract") {
        kinds.extend(ABSTRACT_TYPES);
    }
    kinds.sort_unstable();
    kinds.dedup();
    if let Some(wanted) = arguments.value("implements").and_then(Value::as_str) {
        kinds.retain(|kind| *kind == wanted || ancestors(kind).contains(&wanted));
    }
    let entry = |kind: &str| {
        let mut entry = json!({"name": kind});
        if ABSTRACT_TYPES.contains(&kind) {
            entry["abstract"] = json!(true);
        }
        if let Some(parent) = ancestors(kind).first() {
            entry["parent"] = json!(parent);
        }
        entry
    };
    Ok(kinds.into_iter().map(entry).collect())
}

/// The properties of the first object of a type.
fn list_properties(context: &mut Context<'_>, kind: &str) -> Outcome {
    let root = tree(context.control, context.services);
    let object = root.walk().into_iter().find(|object| object.kind == kind).cloned();
    let object = object.ok_or_else(|| QmpError::no_device(format!("Class '{kind}' not found")))?;
    Ok(properties(&object))
}

fn device_list_properties(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let kind = arguments.string("typename");
    let list = list_properties(context, kind)?;
    match ancestors(kind).contains(&"device") {
        true => Ok(list),
        false => Err(QmpError::generic("Parameter 'typename' expects a non-abstract device type")),
    }
}

fn qom_list(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let object = object(context, arguments.string("path"))?;
    Ok(properties(&object))
}

/// Name and type of each property, children among them.
fn properties(object: &Object) -> Value {
    let mut list = vec![json!({"name": "type", "type": "string"})];
    let mut add = |name: &str, kind: &str| {
        if name != "type" {
            list.push(json!({"name": name, "type": kind}));
        }
    };
    object.properties.iter().for_each(|(name, value)| add(name, type_of(value)));
    object.children.iter().for_each(|child| add(&child.name, &format!("child<{}>", child.kind)));
    Value::Array(list)
}

fn qom_get(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let (path, property) = (arguments.string("path"), arguments.string("property"));
    let object = object(context, path)?;
    if property == "type" {
        return Ok(json!(object.kind));
    }
    let value = object.properties.iter().find(|(name, _)| *name == property).map(|(_, value)| value.clone());
    let child = || object.children.iter().find(|child| child.name == property);
    let value = value
        .or_else(|| child().map(|child| json!(format!("{}/{}", path.trim_end_matches('/'), child.name))));
    value.ok_or_else(|| no_property(&object, property))
}

fn qom_set(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let property = arguments.string("property");
    let object = object(context, arguments.string("path"))?;
    if (object.kind, property) == ("dejavm-accel", ONE_INSTRUCTION) {
        let on = match arguments.value("value") {
            Some(Value::Bool(on)) => Some(*on),
            Some(Value::String(word)) => ON_OFF.iter().find(|(known, _)| known == word).map(|(_, on)| *on),
            _ => None,
        };
        let on = on.ok_or_else(|| {
            QmpError::generic(format!("Invalid parameter type for '{property}', expected: boolean"))
        })?;
        set_one_instruction(context.control, context.services, on).map_err(QmpError::generic)?;
        return Ok(json!({}));
    }
    let known = object.properties.iter().any(|(name, _)| *name == property) || property == "type";
    Err(match known {
        true => QmpError::generic(format!("Property '{}.{property}' cannot be changed", object.kind)),
        false => no_property(&object, property),
    })
}

fn no_property(object: &Object, property: &str) -> QmpError {
    QmpError::generic(format!("Property '{}.{property}' not found", object.kind))
}
