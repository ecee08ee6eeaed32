//! `chardev-remove`: remove chardev.

use super::super::Context;
use super::super::arguments::Arguments;
use super::chardev_add::refused;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["chardev-remove"], parameters: "id", about: "remove chardev", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let id = arguments.string()?;
    arguments.end()?;
    context.services.chardevs.remove(id).map_err(refused)
}
