//! `sendkey`: keys pressed together, then released.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome, evaluate};
use serde_json::{Value, json};

pub(crate) const COMMAND: Command = Command {
    names: &["sendkey"],
    parameters: "keys [hold_ms]",
    about: "send keys to the VM (e.g. 'sendkey ctrl-alt-f1'; they are released at once)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let keys = arguments.string()?;
    let hold = (!arguments.is_empty()).then(|| evaluate(context, arguments)).transpose()?;
    let keys: Vec<Value> = keys.split('-').map(key).collect::<Result<_, _>>()?;
    let mut given = json!({"keys": keys});
    if let Some(hold) = hold {
        given["hold-time"] = json!(hold);
    }
    context.qmp("send-key", given)?;
    Ok(())
}

/// A key is named, or a number in hexadecimal.
fn key(name: &str) -> Result<Value, CommandError> {
    let invalid = || CommandError::Usage(format!("invalid parameter: {name}"));
    match name.strip_prefix("0x") {
        Some(digits) => {
            let number = u64::from_str_radix(digits, 16).map_err(|_| invalid())?;
            Ok(json!({"type": "number", "data": number}))
        }
        None if crate::keys::code_of(name).is_some() => Ok(json!({"type": "qcode", "data": name})),
        None => Err(invalid()),
    }
}
