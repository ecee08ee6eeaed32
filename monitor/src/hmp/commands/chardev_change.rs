//! `chardev-change`: change chardev.

use super::super::Context;
use super::super::arguments::Arguments;
use super::chardev_add::{backend, refused, tell_terminal};
use super::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["chardev-change"],
    parameters: "id args",
    about: "change chardev, as in 'chardev-change serial0 file,path=console.log'",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let id = arguments.string()?;
    let text = arguments.string()?;
    arguments.end()?;
    let terminal = context.services.chardevs.change(id, backend(text)?).map_err(refused)?;
    tell_terminal(context, id, terminal);
    Ok(())
}
