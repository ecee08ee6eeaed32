//! `xp`: physical memory dump starting at 'addr'.

use super::super::Context;
use super::super::arguments::Arguments;
use super::memory_dump::{Space, dump};
use super::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["xp"],
    parameters: "/fmt addr",
    about: "physical memory dump starting at 'addr'",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    dump(context, arguments, Space::Physical)
}
