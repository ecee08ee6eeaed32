//! What a client asks, taken from a JSON value.

use super::QmpError;
use serde_json::{Map, Value};

/// A command that a client wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command's name.
    pub command: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// Whether it is to overtake those that wait.
    pub oob: bool,
}

/// The request that a value is, if it is one; and the client's mark on it, in any case.
pub fn request(value: Value, oob_enabled: bool) -> (Option<Value>, Result<Request, QmpError>) {
    let Value::Object(mut map) = value else {
        return (None, Err(QmpError::generic("QMP input must be a JSON object")));
    };
    let id = map.remove("id");
    (id, members(map, oob_enabled))
}

fn members(map: Map<String, Value>, oob_enabled: bool) -> Result<Request, QmpError> {
    let error = |what: String| Err(QmpError::generic(format!("QMP input {what}")));
    let mut arguments = Map::new();
    let mut command = None;
    for (name, value) in map {
        match (name.as_str(), value) {
            ("arguments", Value::Object(given)) => arguments = given,
            ("arguments", _) => return error("member 'arguments' must be an object".into()),
            ("exec-oob", _) if !oob_enabled => return error("member 'exec-oob' is unexpected".into()),
            ("execute" | "exec-oob", _) if command.is_some() => {
                return error("member 'execute' clashes with 'exec-oob'".into());
            }
            ("execute" | "exec-oob", Value::String(text)) => command = Some((text, name == "exec-oob")),
            ("execute" | "exec-oob", _) => return error(format!("member '{name}' must be a string")),
            _ => return error(format!("member '{name}' is unexpected")),
        }
    }
    match command {
        Some((command, oob)) => Ok(Request { command, arguments, oob }),
        None => error("lacks member 'execute'".into()),
    }
}
