//! `info history`: show the command line history.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["history"], parameters: "", about: "show the command line history", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    for (n, line) in context.settings.history.iter().enumerate() {
        let _ = writeln!(context.out, "{n}: '{line}'");
    }
    Ok(())
}
