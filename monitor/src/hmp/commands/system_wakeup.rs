//! `system_wakeup`: wakeup guest from suspend.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["system_wakeup"], parameters: "", about: "wakeup guest from suspend", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let state = context.control.run_state();
    Err(CommandError::Refused(format!("Unable to wake up: the guest is not suspended ({state:?})")))
}
