//! `chardev-add`: add chardev.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::chardev::{Backend, User};

pub(crate) const COMMAND: Command = Command {
    names: &["chardev-add"],
    parameters: "args",
    about: "add chardev: socket,id=ID,path=PATH,server=on,wait=off (or host=,port=), pty,id=ID, pipe,id=ID,path=PATH, file,id=ID,path=PATH, ringbuf,id=ID[,size=BYTES], stdio,id=ID or null,id=ID",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let text = arguments.string()?;
    arguments.end()?;
    let id = text.split(',').find_map(|property| property.strip_prefix("id="));
    let id = id.ok_or_else(|| refused("Parameter 'id' is missing".into()))?;
    let terminal = context.services.chardevs.add(id, backend(text)?, User::Nobody).map_err(refused)?;
    tell_terminal(context, id, terminal);
    Ok(())
}

/// Says which terminal the host has made, as QEMU does.
pub(super) fn tell_terminal(context: &mut Context<'_>, id: &str, terminal: Option<String>) {
    if let Some(path) = terminal {
        context.out.push_str(&format!("char device redirected to {path} (label {id})\n"));
    }
}

/// The backend that the first word names, with the properties behind it.
pub(super) fn backend(text: &str) -> Result<Backend, CommandError> {
    let (kind, properties) = text.split_once(',').unwrap_or((text, ""));
    let backend = Backend::parse(kind, properties.split(','));
    backend.and_then(Backend::without_waiting).map_err(refused)
}

pub(super) fn refused(message: String) -> CommandError {
    CommandError::Refused(format!("Error: {message}"))
}
