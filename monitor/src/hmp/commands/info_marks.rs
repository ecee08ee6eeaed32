//! `info marks`: show the named positions of the recording.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["marks"], parameters: "", about: "show the named positions of the recording", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let marks = context.control.marks().cloned().unwrap_or_default();
    if marks.is_empty() {
        let _ = writeln!(context.out, "no marks");
    }
    for (name, mark) in &marks {
        let _ = writeln!(context.out, "{name} {}", mark.at.icount);
    }
    Ok(())
}
