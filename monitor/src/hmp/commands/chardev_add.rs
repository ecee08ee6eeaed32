//! `chardev-add`: add chardev.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::chardev::{Backend, User};

pub(crate) const COMMAND: Command = Command {
    names: &["chardev-add"],
    parameters: "args",
    about: "add chardev: null,id=ID or file,id=ID,path=PATH or ringbuf,id=ID[,size=BYTES]",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let text = arguments.string()?;
    arguments.end()?;
    let id = text.split(',').find_map(|property| property.strip_prefix("id="));
    let id = id.ok_or_else(|| refused("Parameter 'id' is missing".into()))?;
    context.services.chardevs.add(id, backend(text)?, User::Nobody).map_err(refused)
}

/// The backend that the first word names, with the properties behind it.
pub(super) fn backend(text: &str) -> Result<Backend, CommandError> {
    let (kind, properties) = text.split_once(',').unwrap_or((text, ""));
    if kind == "stdio" {
        return Err(refused("stdio is what the program began with: null, file or ringbuf".into()));
    }
    Backend::parse(kind, properties.split(',')).map_err(refused)
}

pub(super) fn refused(message: String) -> CommandError {
    CommandError::Refused(format!("Error: {message}"))
}
