//! `boot_set`: define new values for the boot device list.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["boot_set"],
    parameters: "bootdevice",
    about: "define new values for the boot device list (refused: the kernel is loaded directly)",
    run,
};

fn run(_: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.string()?;
    arguments.end()?;
    Err(CommandError::Refused(
        "Error: no function defined to set boot device list for this architecture: this machine has no \
         firmware, it loads its kernel itself"
            .into(),
    ))
}
