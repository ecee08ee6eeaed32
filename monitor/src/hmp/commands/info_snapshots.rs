//! `info snapshots`: show the marks that savevm has set in this recording.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["snapshots"],
    parameters: "",
    about: "show the marks that savevm has set in this recording",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let marks = context.control.marks().map(|marks| marks.clone()).unwrap_or_default();
    if marks.is_empty() {
        context.out.push_str("There is no snapshot available.\n");
        return Ok(());
    }
    context.out.push_str("TAG                  ICOUNT\n");
    for (tag, icount) in &marks {
        let _ = writeln!(context.out, "{tag:<20} {icount}");
    }
    Ok(())
}
