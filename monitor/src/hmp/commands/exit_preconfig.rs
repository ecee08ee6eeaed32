//! `exit_preconfig`: exit the preconfig state.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["exit_preconfig"], parameters: "", about: "exit the preconfig state", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let state = context.control.run_state();
    Err(CommandError::Refused(format!(
        "The command is permitted only before machine initialization ({state:?})"
    )))
}
