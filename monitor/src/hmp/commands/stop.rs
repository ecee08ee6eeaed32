//! `stop`: stop emulation.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["stop", "s"], parameters: "", about: "stop emulation", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.control.stop();
    Ok(())
}
