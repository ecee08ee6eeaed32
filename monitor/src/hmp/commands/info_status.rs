//! `info status`: show the current VM status (running|paused).

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use crate::control::RunState;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["status"], parameters: "", about: "show the current VM status (running|paused)", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let state = match context.control.run_state() {
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Prelaunch => "paused (prelaunch)",
        RunState::Shutdown => "paused (shutdown)",
    };
    let _ = writeln!(context.out, "VM status: {state}");
    Ok(())
}
