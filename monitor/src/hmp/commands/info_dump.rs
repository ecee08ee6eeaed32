//! `info dump`: display the latest dump status.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use crate::dump::State;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["dump"], parameters: "", about: "Display the latest dump status", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let status = context.services.dumps.status();
    let _ = writeln!(context.out, "Status: {}", status.state.name());
    if status.state == State::Active && status.total != 0 {
        let percent = status.completed as f64 * 100.0 / status.total as f64;
        let _ = writeln!(context.out, "Finished: {percent:.2} %");
    }
    if let Some(error) = status.error {
        let _ = writeln!(context.out, "Error: {error}");
    }
    Ok(())
}
